"""Readiness of the services behind a process."""

from collections.abc import Callable

import pytest
from devstack.pytest_plugin import Servers
from saaskit import cache, upstream
from saaskit.db import create_engine, create_sessionmaker
from saaskit.errors import DatabaseUnavailable
from saaskit.health import Health, Readiness, check_readiness
from saaskit.settings import Settings

NOTHING_LISTENS = "127.0.0.1:1"


@pytest.fixture(scope="module")
def database(new_database: Callable[[], str]) -> str:
    return new_database()


async def check(database_url: str, redis_url: str) -> Readiness:
    engine = create_engine(database_url, pool_size=1)
    settings = Settings(_env_file=None, environment="test")  # type: ignore[call-arg]
    try:
        async with (
            cache.connect(redis_url),
            upstream.connect(settings),
            create_sessionmaker(engine)() as db,
        ):
            available = await cache.is_available()
            return await check_readiness(db, cache_available=available, upstreams=upstream.readiness())
    finally:
        await engine.dispose()


def test_the_liveness_check_says_ok():
    assert Health().model_dump() == {"status": "ok"}


async def test_a_process_is_ready_with_its_database_and_cache(database: str, servers: Servers):
    readiness = await check(database, f"{servers.cache}/5")
    assert (readiness.status, readiness.database, readiness.cache) == ("ok", "ok", "ok")


async def test_a_process_is_degraded_without_its_cache(database: str):
    readiness = await check(database, f"redis://{NOTHING_LISTENS}/0")
    assert (readiness.status, readiness.database, readiness.cache) == ("degraded", "ok", "unavailable")


async def test_a_process_is_unavailable_without_its_database(servers: Servers):
    with pytest.raises(DatabaseUnavailable):
        await check(f"postgresql://app:secret@{NOTHING_LISTENS}/app", f"{servers.cache}/5")
