"""A job system that runs for all tests of a module, idle ones for tests that break things, and sessions."""

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path

import pytest
from devstack.pytest_plugin import Servers
from packages.saaskit.jobs.job_system import JobSystem
from redis import Redis
from saaskit.db import create_engine, create_sessionmaker
from sqlalchemy.ext.asyncio import AsyncSession

_numbers = count()


async def _create(folder: Path, servers: Servers, new_database: Callable[[], str]) -> JobSystem:
    database = await asyncio.to_thread(new_database)
    broker = f"{servers.cache}/{10 + next(_numbers) % 54}"
    with Redis.from_url(broker) as redis:
        redis.flushdb()
    system = JobSystem(folder, database, broker)
    await system.prepare()
    return system


@pytest.fixture(scope="module")
async def system(
    servers: Servers, new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[JobSystem]:
    """A job system with a relay and a worker of two processes."""
    system = await _create(tmp_path_factory.mktemp("system"), servers, new_database)
    system.relay()
    system.worker()
    yield system
    await system.close()


@pytest.fixture
async def idle(servers: Servers, new_database: Callable[[], str], tmp_path: Path) -> AsyncIterator[JobSystem]:
    """A job system without running processes."""
    system = await _create(tmp_path, servers, new_database)
    yield system
    await system.close()


@pytest.fixture(scope="session")
def jobs_database(new_database: Callable[[], str]) -> str:
    """The database of the fixture `db`."""
    return new_database()


@pytest.fixture
async def db(jobs_database: str) -> AsyncIterator[AsyncSession]:
    """A session whose transaction is rolled back at the end."""
    engine = create_engine(jobs_database, pool_size=1)
    async with create_sessionmaker(engine)() as session:
        yield session
        await session.rollback()
    await engine.dispose()
