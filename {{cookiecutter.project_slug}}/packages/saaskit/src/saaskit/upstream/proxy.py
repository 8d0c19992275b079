"""The streaming proxy: which paths and headers may cross, and the response in constant memory."""

import asyncio
import re
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar
from urllib.parse import urlencode

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from saaskit.errors import BadGateway, NotFound, PayloadTooLarge
from saaskit.upstream.pool import Limits, OpenResponse
from saaskit.upstream.transport import UpstreamTransport, error_from_response, transport_errors

log = structlog.get_logger(__name__)
T = TypeVar("T")
CLIENT_DISCONNECTED = 499
_PLACEHOLDER = re.compile(r"\{\w+\}")

# Only listed headers cross. No hop-by-hop header is listed, and none that identifies the caller, such as
# cookies, authorization and addresses.
REQUEST_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "content-type",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "last-event-id",
        "range",
    }
)
RESPONSE_HEADERS = frozenset(
    {
        "accept-ranges",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-range",
        "content-type",
        "etag",
        "last-modified",
        "vary",
    }
)


class Rules:
    """Allowed requests (`"GET /repos/{owner}/{name}"`; GET includes HEAD) and allowed headers."""

    def __init__(
        self, allow: Iterable[str], also_send: Iterable[str] = (), also_return: Iterable[str] = ()
    ) -> None:
        self._allowed = [(method, path.split("/")[1:]) for method, path in map(str.split, allow)]
        self._request_headers = REQUEST_HEADERS | {name.lower() for name in also_send}
        self._response_headers = {name.lower().encode() for name in RESPONSE_HEADERS.union(also_return)}

    def segments(self, method: str, path: str) -> list[str]:
        """Return the segments of the path. Raises NotFound if no rule allows it."""
        segments = path.split("/")
        for allowed_method, pattern in self._allowed:
            if allowed_method == method.replace("HEAD", "GET") and len(pattern) == len(segments):
                pairs = zip(pattern, segments, strict=True)
                if all(_PLACEHOLDER.fullmatch(rule) or rule == segment for rule, segment in pairs):
                    return segments
        raise NotFound

    def request_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the caller's headers that may be sent to the upstream."""
        hop_by_hop = headers.get("connection", "").lower().replace(" ", "").split(",")
        names = self._request_headers.difference(hop_by_hop)
        return {"accept-encoding": "identity"} | {name: headers[name] for name in names if name in headers}

    def response_headers(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Return the upstream's headers that may be returned, with their bytes unchanged."""
        lowered = [(name.lower(), value) for name, value in headers]
        kept = [(name, value) for name, value in lowered if name in self._response_headers]
        if any(name in (b"etag", b"last-modified") for name, _ in kept):
            # Our secret was used for it, so shared caches must not store it.
            kept.append((b"cache-control", b"private, no-cache"))
        return kept


async def forward(transport: UpstreamTransport, rules: Rules, request: Request, path: str) -> Response:
    """Send the request to `path` of the upstream and return its response as a stream. Raises Problem."""
    content = await request.body()
    if len(content) > transport.limits.request_bytes:
        raise PayloadTooLarge("The request body is too large to forward.")
    headers = rules.request_headers(request.headers)
    query = urlencode(request.query_params.multi_items())
    opened: list[OpenResponse] = []  # a task that is cancelled as it ends loses what it returns

    async def send() -> None:
        async with transport.deadline() as deadline:
            response = await transport.send(request.method, path, query, headers, content, deadline)
            opened.append(response)
            response.call.response_started()

    disconnected = asyncio.create_task(_wait_for_disconnect(request.receive))
    streaming = False
    try:
        await _run_until(disconnected, send())
        if not opened:
            return Response(status_code=CLIENT_DISCONNECTED)
        proxied = _proxy_response(transport, rules, opened[0], disconnected)
        streaming = True
        return proxied
    finally:
        if not streaming:
            disconnected.cancel()
            for response in opened:
                response.call.abandoned()
                await response.close()


def _proxy_response(
    transport: UpstreamTransport, rules: Rules, response: OpenResponse, disconnected: asyncio.Task[None]
) -> "ProxyResponse":
    name, limits, http = transport.name, transport.limits, response.http
    if error := error_from_response(name, http):
        raise error
    length = http.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > limits.stream_bytes:
        response.call.failed()
        raise BadGateway(f"{name} sent a response that is too large.")
    return ProxyResponse(name, response, rules.response_headers(http.headers.raw), limits, disconnected)


class IncompleteResponse(Exception):
    """The response ended early. It must not look complete to the client."""


class ProxyResponse(Response):
    """Streams the upstream's body unchanged, compressed or not, until it ends or the client disconnects."""

    def __init__(
        self,
        name: str,
        upstream: OpenResponse,
        headers: list[tuple[bytes, bytes]],
        limits: Limits,
        disconnected: asyncio.Task[None],
    ) -> None:
        self.name, self.upstream, self.limits, self.disconnected = name, upstream, limits, disconnected
        self.status_code = upstream.http.status_code
        self.background, self.body = None, b""
        self.raw_headers = headers
        self.is_event_stream = dict(headers).get(b"content-type", b"").startswith(b"text/event-stream")
        if self.is_event_stream:
            upstream.set_read_timeout(limits.idle)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        try:
            await _run_until(self.disconnected, self._stream(send))
        finally:
            self.disconnected.cancel()
            self.upstream.call.abandoned()
            await self.upstream.close()

    async def _stream(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with asyncio.timeout(None if self.is_event_stream else self.limits.stream):
                await self._send_chunks(send)
        except Exception as error:
            # Any other error may be due to a slow or disconnected client.
            if isinstance(error, (IncompleteResponse, *transport_errors())):
                self.upstream.call.failed()
            log.warning("upstream response incomplete", upstream=self.name, error=type(error).__name__)
            raise IncompleteResponse from error
        self.upstream.call.succeeded()
        await send({"type": "http.response.body", "body": b""})

    async def _send_chunks(self, send: Send) -> None:
        left = self.limits.stream_bytes
        async with aclosing(self.upstream.http.aiter_raw()) as raw:
            async for chunk in raw:
                left -= len(chunk)
                if left < 0 and not self.is_event_stream:
                    raise IncompleteResponse("too large")
                await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _wait_for_disconnect(receive: Receive) -> None:
    """Return when the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        continue


async def _run_until(disconnected: asyncio.Task[None], work: Coroutine[Any, Any, T]) -> T | None:
    """Return the result of the work, or cancel it and return None if the client disconnects first."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait((task, disconnected), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
