"""An upstream's answer, passed on as it comes: in constant memory, and only while somebody listens."""

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.core.upstream.exchange import broken
from app.core.upstream.limits import Limits
from app.core.upstream.line import Reply

log = structlog.get_logger(__name__)
T = TypeVar("T")
HANGUP = 499


class CutOff(Exception):
    """The answer ended too early; the connection to the client must not look complete."""


async def hung_up(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        continue


async def unless(gone: asyncio.Task[None], work: Coroutine[Any, Any, T]) -> T | None:
    """What the work returns, or None, and the work is cancelled, when the client is gone first."""
    job = asyncio.create_task(work)
    try:
        await asyncio.wait((job, gone), return_when=asyncio.FIRST_COMPLETED)
        return job.result() if job.done() else None
    finally:
        if not job.done():
            job.cancel()
            await asyncio.gather(job, return_exceptions=True)


class Relay(Response):
    """Sends the headers that may cross and the bytes as they are, encoded or not."""

    def __init__(
        self,
        name: str,
        reply: Reply,
        headers: list[tuple[bytes, bytes]],
        limits: Limits,
        gone: asyncio.Task[None],
    ) -> None:
        self.name, self.reply, self.limits, self.gone = name, reply, limits, gone
        self.status_code = reply.response.status_code
        self.background, self.body = None, b""
        self.raw_headers = headers
        self.events = dict(headers).get(b"content-type", b"").startswith(b"text/event-stream")
        if self.events:
            reply.patience(limits.idle)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pump until the end, or until the client hangs up."""
        try:
            await unless(self.gone, self._pump(send))
        finally:
            self.gone.cancel()
            self.reply.call.abandoned()
            await self.reply.close()

    async def _pump(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async with asyncio.timeout(None if self.events else self.limits.stream):
                await self._chunks(send)
        except Exception as error:
            if isinstance(error, (CutOff, *broken())):  # else it may be our client who is slow, or gone
                self.reply.call.failed()
            log.warning("upstream cut off", upstream=self.name, error=type(error).__name__)
            raise CutOff from error
        self.reply.call.succeeded()
        await send({"type": "http.response.body", "body": b""})

    async def _chunks(self, send: Send) -> None:
        left = self.limits.stream_bytes
        async with aclosing(self.reply.response.aiter_raw()) as raw:
            async for chunk in raw:
                left -= len(chunk)
                if left < 0 and not self.events:
                    raise CutOff("too large")
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
