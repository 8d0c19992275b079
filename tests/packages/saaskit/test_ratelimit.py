"""Rate limits on the server, across processes; without the server, in each process."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from devstack.pytest_plugin import Servers
from packages.saaskit.cache.support import Clock
from saaskit.errors import TooManyRequests
from saaskit.ratelimit import Limit, RateLimiter

MANY = Limit("many", 1000, 60)
TWO = Limit("two", 2, 60)
_numbers = itertools.count()


@pytest.fixture
def key() -> str:
    """A key that no other test uses."""
    return f"key-{next(_numbers)}"


@pytest.fixture
async def limiters(servers: Servers) -> AsyncIterator[tuple[RateLimiter, RateLimiter]]:
    """Two limiters on one server, as in two processes."""
    pair = (RateLimiter(f"{servers.cache}/2"), RateLimiter(f"{servers.cache}/2"))
    yield pair
    for limiter in pair:
        await limiter.aclose()


@dataclass
class Gate:
    """Forwards to the server while it is open, and else ends each connection; counts connections."""

    url: str
    opened: bool = False
    connections: int = 0


@asynccontextmanager
async def gated(url: str) -> AsyncIterator[Gate]:
    host, _, port = url.rpartition("@")[2].partition(":")
    writers: set[asyncio.StreamWriter] = set()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        while gate.opened and (data := await reader.read(65536)):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gate.connections += 1
        if not gate.opened:
            writer.close()
            return
        server_reader, server_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(forward(reader, server_writer), forward(server_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    gate = Gate(url.replace(f":{port}", f":{server.sockets[0].getsockname()[1]}"))
    try:
        yield gate
    finally:
        server.close()
        for writer in writers:
            writer.close()


async def test_a_limit_holds_across_processes(limiters: tuple[RateLimiter, RateLimiter], key: str):
    first, second = limiters
    assert await first.allow(TWO, key)
    assert await second.allow(TWO, key)
    assert not await first.allow(TWO, key)
    assert not await second.allow(TWO, key)
    assert await first.allow(TWO, f"{key}-other"), "each key is counted separately"
    assert await first.allow(Limit("another", 2, 60), key), "and each name"


async def test_a_limit_holds_for_concurrent_requests(limiters: tuple[RateLimiter, RateLimiter], key: str):
    allowed = await asyncio.gather(*(each.allow(TWO, key) for each in limiters for _ in range(10)))
    assert sum(allowed) == 2


async def test_an_exhausted_limit_raises_429_with_the_time_to_wait(limiters: tuple[RateLimiter, RateLimiter], key: str):
    limiter, _ = limiters
    for _ in range(2):
        await limiter.check([(MANY, key), (TWO, key)], "form.throttled")
    with pytest.raises(TooManyRequests, match=r"^Too many requests\. Try again later\.$") as raised:
        await limiter.check([(MANY, key), (TWO, key)], "form.throttled")
    assert raised.value.event == "form.throttled"
    assert 1 <= int(raised.value.headers["Retry-After"]) <= 60


async def test_reset_forgets_what_was_counted(limiters: tuple[RateLimiter, RateLimiter], key: str):
    limiter, other = limiters
    assert [await limiter.allow(TWO, key) for _ in range(3)] == [True, True, False]
    await other.reset(TWO, key)
    assert await limiter.allow(TWO, key)


async def test_keys_may_contain_any_text(limiters: tuple[RateLimiter, RateLimiter], key: str):
    limiter, _ = limiters
    for text in ("\ud800", "\0", "a" * 100_000, ""):
        assert [await limiter.allow(TWO, f"{key}{text}") for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("url", ["", "redis://127.0.0.1:1/0"], ids=["none", "unreachable"])
async def test_without_a_server_a_limit_holds_in_each_process(url: str):
    limiter, other = RateLimiter(url), RateLimiter(url)
    assert [await limiter.allow(TWO, "x") for _ in range(3)] == [True, True, False]
    with pytest.raises(TooManyRequests):
        await limiter.check([(TWO, "x")], "form.throttled")
    await limiter.reset(TWO, "x")
    assert await limiter.allow(TWO, "x")
    assert await other.allow(TWO, "x")
    await limiter.aclose()
    await other.aclose()


async def test_an_unavailable_server_is_tried_less_and_less_often_until_it_is_back(servers: Servers):
    clock = Clock()
    async with gated(servers.cache) as gate:
        limiter = RateLimiter(f"{gate.url}/2", monotonic=clock)

        async def attempts() -> int:
            """Send five requests at once; return how many of them tried to connect."""
            before = gate.connections
            assert all(await asyncio.gather(*(limiter.allow(MANY, "x") for _ in range(5))))
            return gate.connections - before

        assert await attempts() == 5
        for pause in (1, 2, 4, 8, 8):
            clock.advance(pause - 0.01)
            assert await attempts() == 0, f"the pause is {pause} s, although five requests failed at once"
            clock.advance(0.02)
            assert await attempts() == 5
        clock.advance(8)
        gate.opened = True
        assert await limiter.allow(MANY, "x")
        await limiter.aclose()

        gate.opened = False
        assert await attempts() == 5
        clock.advance(1)
        assert await attempts() == 5, "after a success the first pause is short again"
        await limiter.aclose()
