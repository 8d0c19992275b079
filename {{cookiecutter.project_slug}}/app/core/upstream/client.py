"""`Upstream`: one foreign API, by its name, its base URL and its secret."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode

from fastapi import Request, Response
from pydantic import SecretStr
from pydantic_core import to_json

from app.core import bounded
from app.core.errors import PayloadTooLarge, UpstreamFailed
from app.core.upstream import headers
from app.core.upstream.answers import problem, value
from app.core.upstream.exchange import Exchange, Span, broken
from app.core.upstream.limits import Limits
from app.core.upstream.line import Reply
from app.core.upstream.paths import Allowed, fill
from app.core.upstream.relay import HANGUP, Relay, hung_up, unless

T = TypeVar("T")

REGISTRY: dict[str, "Upstream"] = {}
"""Every upstream of the process, by name."""


class Upstream:
    """Calls one API, in typed mode (`get`, `request`) or passed through (`forward`).

    All failures are problems: 502 dead or broken, 503 busy, 504 late, 404 as it is. `allow` lists what
    callers may have relayed (`"GET /repos/{owner}/{name}"`), `also_send` and `also_return` further headers.
    The secret travels as a bearer token, or in the header that `secret_in` names.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str,
        secret: SecretStr | None = None,
        secret_in: str = "",
        send: Mapping[str, str] | None = None,
        allow: Iterable[str] = (),
        also_send: Iterable[str] = (),
        also_return: Iterable[str] = (),
        limits: Limits | None = None,
    ) -> None:
        self.name, self.base_url, self.limits = name, base_url, limits or Limits()
        self.secret, self.secret_in = secret, secret_in.lower()
        self.sent = {"user-agent": "saas-starter"} | {
            key.lower(): value for key, value in (send or {}).items()
        }
        self.allowed = Allowed(allow)
        self.request_headers = headers.REQUEST | {key.lower() for key in also_send}
        self.answer_headers = headers.ANSWER | {key.lower() for key in also_return}
        self.exchange = Exchange(name, self.limits)
        REGISTRY[name] = self

    @property
    def state(self) -> Literal["ok", "unavailable"]:
        """Whether calls are refused at the moment; nobody is asked."""
        return "unavailable" if self.exchange.breaker.refuses() else "ok"

    async def get(
        self, path: str, *, model: type[T], params: Mapping[str, Any] | None = None, **segments: object
    ) -> T:
        """GET `path`, whose `{holes}` the segments fill, and read the JSON answer as `model`."""
        return await self.request("GET", path, model=model, params=params, **segments)

    async def request(
        self,
        method: str,
        path: str,
        *,
        model: type[T],
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        **segments: object,
    ) -> T:
        """Any method; `json` is sent as the body."""
        query = urlencode(
            {key: value for key, value in (params or {}).items() if value is not None}, doseq=True
        )
        sent = {"accept": "application/json", "accept-encoding": bounded.ENCODINGS}
        content = b"" if json is None else to_json(json)
        if content:
            sent["content-type"] = "application/json"
        async with self.exchange.in_time() as span:
            reply = await self._send(method, fill(path, segments), query, sent, content, span)
            async with reply as response:
                if failure := problem(self.name, response):
                    raise failure
                try:
                    found = await value(self.name, response, model, self.limits.answer_bytes)
                except broken() as error:
                    raise self.exchange.problem(error) from error
            return found

    async def forward(self, request: Request, path: str) -> Response:
        """Pass the request on and its answer back, as a stream. NotFound for what `allow` does not list."""
        target = self.allowed.path(request.method, path)
        content = await request.body()
        if len(content) > self.limits.request_bytes:
            raise PayloadTooLarge("This is more than may be passed on.")
        sent = headers.outgoing(request.headers, self.request_headers)
        query = urlencode(request.query_params.multi_items())

        replies: list[Reply] = []

        async def send() -> None:
            async with self.exchange.in_time() as span:
                reply = await self._send(request.method, target, query, sent, content, span)
                replies.append(reply)
                reply.call.answered()

        gone = asyncio.create_task(hung_up(request.receive))
        answer = Response(status_code=HANGUP)
        try:
            await unless(gone, send())
            if replies:
                answer = self._pass(replies[0], gone)
            return answer
        finally:
            if not isinstance(answer, Relay):
                gone.cancel()
                for reply in replies:
                    reply.call.abandoned()
                    await reply.close()

    def _pass(self, reply: Reply, gone: asyncio.Task[None]) -> Relay:
        if failure := problem(self.name, reply.response):
            raise failure
        length = reply.response.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.limits.stream_bytes:
            reply.call.failed()
            raise UpstreamFailed(f"{self.name} answered more than may be passed on.")
        passing = headers.incoming(reply.response.headers.raw, self.answer_headers)
        return Relay(self.name, reply, passing, self.limits, gone)

    async def _send(
        self, method: str, path: str, query: str, sent: dict[str, str], content: bytes, span: Span
    ) -> Reply:
        url = self.base_url.rstrip("/") + path + (f"?{query}" if query else "")
        every = sent | self.sent | headers.tracing()
        if self.secret and (secret := self.secret.get_secret_value()):
            every |= {self.secret_in: secret} if self.secret_in else {"authorization": f"Bearer {secret}"}
        return await self.exchange.send(method, url, every, content, span)


@asynccontextmanager
async def opened() -> AsyncIterator[None]:
    """Close the connections of all upstreams in the end; they open when used."""
    try:
        yield
    finally:
        for upstream in REGISTRY.values():
            await upstream.exchange.close()
