"""Two stores on one server stand for two processes."""

from collections.abc import AsyncIterator

import pytest
from devstack.pytest_plugin import Servers
from packages.saaskit.cache.support import Clock, Source
from redis.asyncio import Redis
from saaskit.cache.store import Store


@pytest.fixture
def clock() -> Clock:
    """The time of all stores in the test."""
    return Clock()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def redis(servers: Servers) -> AsyncIterator[Redis]:
    """A client of the server; the database is empty after the test."""
    async with Redis.from_url(f"{servers.cache}/1") as client:
        yield client
        await client.flushdb()


@pytest.fixture
async def store(servers: Servers, redis: Redis, clock: Clock) -> AsyncIterator[Store]:
    """This process's cache. Its timeout is long: a busy machine is not an outage."""
    store = _store(servers, clock)
    with store.activate():
        yield store
    await store.aclose()


@pytest.fixture
async def other(servers: Servers, redis: Redis, clock: Clock) -> AsyncIterator[Store]:
    """Another process's cache: `with other.activate():` runs as that process."""
    store = _store(servers, clock)
    yield store
    await store.aclose()


def _store(servers: Servers, clock: Clock) -> Store:
    return Store(f"{servers.cache}/1", clock=clock, monotonic=clock, timeout=60)
