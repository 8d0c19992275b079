"""Databases with the job tables. The servers are those of devstack's plug-in: each worker starts its own."""

import asyncio
import itertools
from collections.abc import Callable

import pytest
from saaskit.db import Base, create_engine
from saaskit.jobs import tables  # noqa: F401 (registers the tables)

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def new_database(new_database: Callable[[str], str]) -> Callable[[], str]:
    """Create a database with the job tables: `new_database()` returns its URL."""

    async def create_tables(url: str) -> None:
        engine = create_engine(url, pool_size=1)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        await engine.dispose()

    def create() -> str:
        url = new_database(str(next(_numbers)))
        asyncio.run(create_tables(url))
        return url

    return create
