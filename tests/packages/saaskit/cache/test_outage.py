"""The cache while its server is killed, frozen or slow: no caller gets an error, and few wait.

benchmarks/cache measures how long. The tests show who waits: they count commands, and make so many calls that
these would take longer than PATIENCE if each waited for the server.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from devstack import run_valkey
from packages.saaskit.cache.support import PATIENCE, proxied, until
from redis.asyncio import Redis
from saaskit.cache import cached, connect, is_available, update_tag
from saaskit.cache.redis_backend import MAX_CONNECTIONS, PROBE_PINGS, TIMEOUT_SECONDS
from saaskit.cache.store import Store

pytestmark = pytest.mark.slow


class Server:
    """A Valkey of the test's own, which it can kill, freeze, and start again on the same port."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.start()

    def start(self) -> None:
        self.stack.close()
        self.url = self.stack.enter_context(run_valkey(self.folder, durable=True))

    def signal(self, number: signal.Signals) -> None:
        os.kill(int((self.folder / "valkey/pid").read_text()), number)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with ExitStack() as stack:
        server = Server(tmp_path, stack)
        yield server
        if (server.folder / "valkey/pid").exists():
            with suppress(ProcessLookupError):
                server.signal(signal.SIGCONT)


def number_source():
    calls: list[int] = []

    @cached("number", revalidate=60, expire=600, local=0, tags=["all"])
    async def number() -> int:
        calls.append(len(calls))
        return calls[-1]

    return number, calls


async def read_without_waiting(read: Callable[[], Awaitable[int]], seconds: float) -> set[int]:
    """Call so often that it would take twice PATIENCE if each call waited for `seconds`."""
    async with asyncio.timeout(PATIENCE):
        return {await read() for _ in range(round(2 * PATIENCE / seconds))}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
async def test_a_dead_server_delays_one_call_and_raises_no_error(server: Server, number: signal.Signals):
    read, calls = number_source()
    async with connect(f"{server.url}/0") as store:
        assert await read() == 0
        server.signal(number)
        values = await read_without_waiting(read, TIMEOUT_SECONDS)
        assert values == {0}, "the entry in memory is served during the outage"
        await update_tag("all")
        assert await read() == 1, "this process expires it without the server"
        assert await read_without_waiting(read, TIMEOUT_SECONDS) == {1}
        if number == signal.SIGKILL:
            server.start()
        else:
            server.signal(signal.SIGCONT)
        await until(is_available)
        assert not store.backend.pending, "unsent invalidations were sent before the first read"
        assert await read() >= 1
        assert len(calls) <= 3


async def test_an_invalidation_during_an_outage_reaches_other_processes_after_it(server: Server):
    read, _ = number_source()
    async with connect(f"{server.url}/0"):
        assert await read() == 0
        async with connect(f"{server.url}/0"):
            assert await read() == 0
            server.signal(signal.SIGSTOP)
            await update_tag("all")
            server.signal(signal.SIGCONT)
            await until(is_available)
            assert await read() == 1
        assert await read() == 1, "the process that did not know of the invalidation"


async def test_200_callers_in_an_outage_make_one_call(server: Server):
    """They wait together for one command, which times out."""
    calls = []

    @cached("one", revalidate=60)
    async def one() -> int:
        calls.append(1)
        return 1

    server.signal(signal.SIGSTOP)
    async with asyncio.timeout(PATIENCE), proxied(server.url) as proxy, connect(f"{proxy.url}/0"):
        assert set(await asyncio.gather(*(one() for _ in range(200)))) == {1}
        assert len(calls) == 1
        assert proxy.count("MGET") <= 1


async def test_many_keys_do_not_queue_for_a_frozen_server(server: Server):
    @cached("one-of-many", revalidate=60)
    async def one(number: int) -> int:
        return number

    async with asyncio.timeout(PATIENCE), proxied(server.url) as proxy, connect(f"{proxy.url}/0"):
        assert await one(-1) == -1
        server.signal(signal.SIGSTOP)
        before = proxy.count("MGET")
        assert await asyncio.gather(*(one(number) for number in range(500))) == list(range(500))
        assert 1 <= proxy.count("MGET") - before <= MAX_CONNECTIONS, "those in the queue go on without it"


async def test_many_keys_are_not_an_outage(server: Server):
    """500 commands queue for 32 connections. The timeout is long, because tests keep the machine busy."""

    @cached("one-of-many", revalidate=60)
    async def one(number: int) -> int:
        return number

    store = Store(f"{server.url}/0", timeout=60)
    with store.activate():
        assert await asyncio.gather(*(one(number) for number in range(500))) == list(range(500))
        assert store.backend.connection.state == "available"
    async with Redis.from_url(f"{server.url}/0") as redis:
        assert len(await redis.keys("cache:one-of-many:*")) == 500, "each value is stored"
    await store.aclose()


@pytest.mark.parametrize("seconds", [0.06, 0.15])
async def test_a_slow_server_is_avoided_until_it_is_fast_again(server: Server, seconds: float):
    read, _ = number_source()
    async with proxied(server.url) as proxy, connect(f"{proxy.url}/0"):
        await read()
        await until(is_available)
        proxy.delay = seconds
        await read()
        commands = proxy.count("MGET")
        await read_without_waiting(read, seconds)
        pings = proxy.count("PING")

        async def probed_again() -> bool:
            await read()
            return proxy.count("PING") >= pings + 2 * PROBE_PINGS

        await until(probed_again)
        assert proxy.count("MGET") == commands, "while it is slow it gets no commands, only pings"
        proxy.delay = 0
        await until(is_available)
        await read()
        assert proxy.count("MGET") == commands + 1


async def test_without_a_reachable_server_values_are_cached_in_memory():
    read, calls = number_source()
    async with connect("redis://127.0.0.1:1/0"):
        assert await read() == 0
        assert await read() == 0
        assert not await is_available()
    assert len(calls) == 1


async def test_a_full_server_is_an_outage_and_not_an_error(server: Server):
    read, calls = number_source()
    async with connect(f"{server.url}/0"), Redis.from_url(f"{server.url}/0") as redis:
        await redis.config_set("maxmemory", 1)
        assert await read() == 0
        assert await read() == 0
    assert len(calls) == 1
