"""The streaming proxy: it forwards a request, and its response in constant memory."""

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any, TypeVar
from urllib.parse import urlencode

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from saaskit.errors import BadGateway, PayloadTooLarge
from saaskit.upstream.rules import ForwardRules
from saaskit.upstream.transport import CONNECTION_ERRORS, OpenResponse, UpstreamTransport, error_from_response

log = structlog.get_logger(__name__)
T = TypeVar("T")
CLIENT_DISCONNECTED = 499


async def forward(transport: UpstreamTransport, rules: ForwardRules, request: Request, path: str) -> Response:
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
        proxied = ProxyResponse(transport, rules, opened[0], disconnected)
        streaming = True
        return proxied
    finally:
        if not streaming:
            disconnected.cancel()
            for response in opened:
                response.call.abandoned()
                await response.http.aclose()


class IncompleteResponse(Exception):
    """The response ended early. It must not look complete to the client."""


class ProxyResponse(Response):
    """Streams the upstream's body unchanged, compressed or not, until it ends or the client disconnects.

    Raises the problem of a response that is an error or too large.
    """

    def __init__(
        self,
        transport: UpstreamTransport,
        rules: ForwardRules,
        upstream: OpenResponse,
        disconnected: asyncio.Task[None],
    ) -> None:
        name, limits, http = transport.name, transport.limits, upstream.http
        if error := error_from_response(name, http):
            raise error
        length = http.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > limits.stream_bytes:
            upstream.call.failed()
            raise BadGateway(f"{name} sent a response that is too large.")
        self.name, self.upstream, self.limits, self.disconnected = name, upstream, limits, disconnected
        self.status_code = http.status_code
        self.background, self.body = None, b""
        self.raw_headers = rules.response_headers(http.headers.raw)
        self.is_event_stream = http.headers.get("content-type", "").startswith("text/event-stream")
        if self.is_event_stream:
            http.request.extensions["timeout"]["read"] = limits.idle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        try:
            await _run_until(self.disconnected, self._stream(send))
        finally:
            self.disconnected.cancel()
            self.upstream.call.abandoned()
            await self.upstream.http.aclose()

    async def _stream(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with asyncio.timeout(None if self.is_event_stream else self.limits.stream):
                await self._send_chunks(send)
        except Exception as error:
            # Any other error may be due to a slow or disconnected client.
            if isinstance(error, (IncompleteResponse, *CONNECTION_ERRORS)):
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
