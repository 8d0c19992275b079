"""Connections to one upstream: limited in number, without any state that one call leaves for the next.

httpx2's transport is used without its client, which would store cookies, follow redirects and read proxies
from the environment.
"""

import asyncio
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from saaskit.errors import BadGateway, GatewayTimeout
from saaskit.upstream.breaker import Call

if TYPE_CHECKING:
    import httpx2

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Limits for the calls to one upstream. Times are in seconds, sizes in bytes."""

    connect: float = 1
    read: float = 5
    """Longest silence before and within a response."""
    pool: float = 0.5
    """Longest wait for one of the `concurrency` places; then 503."""
    total: float = 10
    """Time for a call with all its retries; for a forwarded request, until the response headers."""
    stream: float = 300
    """Time for a forwarded response, from first to last byte. Event streams have neither this limit nor
    `stream_bytes`: they end when the client disconnects or at `idle`, and hold a place until then."""
    idle: float = 60
    """Longest silence in a forwarded event stream."""
    concurrency: int = 50
    retries: int = 2
    request_bytes: int = MIB
    """Size of a forwarded request body."""
    response_bytes: int = 5 * MIB
    """Size of a typed response, after decompression."""
    stream_bytes: int = 1024 * MIB
    """Size of a forwarded response, without decompression."""
    buffer_bytes: int = MIB // 4
    """Receive buffer of a connection, in the kernel. It bounds the memory that a forwarded response takes,
    and its speed: this / round-trip time."""


class PoolExhausted(Exception):
    """All places are taken, and none became free in time."""


class ConnectionPool:
    """The connections of one event loop to one upstream."""

    def __init__(self, limits: Limits) -> None:
        # Takes 0.3 s to import, which is not needed before the first call.
        import httpx2

        self.limits = limits
        self._places = asyncio.Semaphore(limits.concurrency)
        self._transport = httpx2.AsyncHTTPTransport(
            limits=httpx2.Limits(
                max_connections=limits.concurrency,
                max_keepalive_connections=limits.concurrency,
                keepalive_expiry=5,
            ),
            # Backpressure starts only when the kernel's buffer is full, and all of it ends up in our memory.
            socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, limits.buffer_bytes)],
        )

    async def send(self, request: "httpx2.Request", call: Call) -> "OpenResponse":
        """Return the response with its headers read. Raises PoolExhausted and httpx2's errors."""
        try:
            async with asyncio.timeout(self.limits.pool):
                await self._places.acquire()
        except TimeoutError:
            raise PoolExhausted from None
        try:
            response = await self._transport.handle_async_request(request)
        except BaseException:
            self._places.release()
            raise
        response.request = request
        return OpenResponse(response, call, self._places)

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.aclose()


class OpenResponse:
    """A response whose body is still to be read. It holds its place in the pool until it is closed.

    As a context manager it reports the outcome of its call to the breaker.
    """

    def __init__(self, response: "httpx2.Response", call: Call, places: asyncio.Semaphore) -> None:
        self.http, self.call = response, call
        self._places: asyncio.Semaphore | None = places

    def set_read_timeout(self, seconds: float) -> None:
        """Change the longest silence for the rest of the body."""
        self.http.request.extensions["timeout"]["read"] = seconds

    async def __aenter__(self) -> "httpx2.Response":
        return self.http

    async def __aexit__(self, _: object, error: BaseException | None, *rest: object) -> None:
        if error is None:
            self.call.succeeded()
        elif isinstance(error, BadGateway | GatewayTimeout):
            self.call.failed()
        await self.close()

    async def close(self) -> None:
        """Give the place back. An unread body closes the connection, which the upstream notices."""
        places, self._places = self._places, None
        if places:
            try:
                await self.http.aclose()
            finally:
                places.release()
