"""The connections to one upstream: a bounded number, nothing remembered between calls.

httpx2's transport is used without its client, which would keep cookies, follow redirects and read proxies
from the environment.
"""

import asyncio
import socket
from typing import TYPE_CHECKING

from app.core.errors import UpstreamFailed, UpstreamLate
from app.core.upstream.breaker import Call
from app.core.upstream.limits import Limits

if TYPE_CHECKING:
    import httpx2


class Full(Exception):
    """No place became free in time."""


class Line:
    """For one event loop."""

    def __init__(self, limits: Limits) -> None:
        # Costs 0.2 s to import, and no answer waits for it before the first call.
        import httpx2

        self.limits = limits
        self.places = asyncio.Semaphore(limits.concurrency)
        self.transport = httpx2.AsyncHTTPTransport(
            limits=httpx2.Limits(
                max_connections=limits.concurrency,
                max_keepalive_connections=limits.concurrency,
                keepalive_expiry=5,
            ),
            # Before our loop can ask an upstream to wait, it has read all that the kernel held.
            socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, limits.buffer_bytes)],
        )

    async def send(self, request: "httpx2.Request", call: Call) -> "Reply":
        """The answer up to its headers; it keeps its place until closed. Raises Full and httpx2's errors."""
        try:
            async with asyncio.timeout(self.limits.pool):
                await self.places.acquire()
        except TimeoutError:
            raise Full from None
        try:
            return Reply(self, call, request, await self.transport.handle_async_request(request))
        except BaseException:
            self.places.release()
            raise


class Reply:
    """An answer on its way. Closing it early closes the connection, which tells the upstream."""

    def __init__(
        self, line: Line, call: Call, request: "httpx2.Request", response: "httpx2.Response"
    ) -> None:
        self.line: Line | None = line
        self.call, self.request, self.response = call, request, response
        response.request = request

    def patience(self, seconds: float) -> None:
        """Change the longest silence for the rest of the body."""
        self.request.extensions["timeout"]["read"] = seconds

    async def __aenter__(self) -> "httpx2.Response":
        return self.response

    async def __aexit__(self, _: object, error: BaseException | None, *rest: object) -> None:
        if error is None:
            self.call.succeeded()
        elif isinstance(error, UpstreamFailed | UpstreamLate):
            self.call.failed()
        await self.close()

    async def close(self) -> None:
        """Give the place back; once."""
        line, self.line = self.line, None
        if line:
            try:
                await self.response.aclose()
            finally:
                line.places.release()
