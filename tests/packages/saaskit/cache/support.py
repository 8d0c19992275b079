"""A clock that a test moves, an upstream in a variable, and a proxy in front of the server."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict
from saaskit.cache import cached
from saaskit.cache.store import Store

PATIENCE = 20
"""Seconds after which a condition counts as never met."""


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Reading(BaseModel):
    model_config = ConfigDict(frozen=True)
    place: str
    number: int


@dataclass
class Gate:
    """A call that waits: `reached` is set when it begins, and it goes on when `opened` is set."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)


class Source:
    """An upstream in a variable: counts its calls, and waits or fails on demand."""

    def __init__(self) -> None:
        self.calls, self.value = 0, 0
        self.error: Exception | None = None
        self._gate: Gate | None = None

    def hold(self) -> Gate:
        """Make the next call wait. It returns the value from before the wait."""
        self._gate = Gate()
        return self._gate

    async def read(self, place: str) -> Reading:
        self.calls += 1
        number, gate, self._gate = self.value, self._gate, None
        if gate:
            gate.reached.set()
            await gate.opened.wait()
        if self.error:
            raise self.error
        return Reading(place=place, number=number)

    def cached(self, **options: Any) -> "CachedReading":
        options = {"revalidate": 60, "expire": 600, "local": 0, "tags": ["all"]} | options

        @cached("reading", **options)
        async def reading(place: str) -> Reading:
            return await self.read(place)

        return reading


class CachedReading(Protocol):
    """A cached function of one place."""

    def __call__(self, place: str) -> Coroutine[Any, Any, Reading]: ...


async def refreshed(store: Store) -> None:
    """Wait for the refreshes in the background."""
    async with asyncio.timeout(PATIENCE):
        while store.flights:
            await asyncio.gather(*store.flights.values(), return_exceptions=True)


async def until(condition: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.01)


@dataclass
class Proxy:
    """Forwards to the server, delays its replies, and counts commands by name."""

    url: str
    delay: float = 0.0
    sent: bytearray = field(default_factory=bytearray)

    def count(self, command: str) -> int:
        return self.sent.upper().count(f"\r\n{command}\r\n".encode())


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[Proxy]:
    """Run a proxy in front of the server."""
    host, _, port = url.rpartition("@")[2].partition(":")
    writers: list[asyncio.StreamWriter] = []

    async def requests(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            proxy.sent += data
            writer.write(data)
        writer.close()

    async def replies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await asyncio.sleep(proxy.delay)
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(host, int(port))
        writers.extend((writer, server_writer))
        try:
            await asyncio.gather(requests(reader, server_writer), replies(server_reader, writer))
        except OSError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy = Proxy(url.replace(f":{port}", f":{server.sockets[0].getsockname()[1]}"))
    try:
        yield proxy
    finally:
        server.close()
        for writer in writers:
            writer.close()
