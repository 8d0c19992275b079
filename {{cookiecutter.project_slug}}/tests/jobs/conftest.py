"""A plant that runs for all tests of a file, and empty ones for tests that break things."""

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path

import pytest

from tests.conftest import Engines
from tests.jobs.plant import Plant

_numbers = count(1)


@pytest.fixture(scope="module")
async def plant(
    engines: Engines, new_database: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Plant]:
    """A relay and a worker of two processes, running."""
    number = next(_numbers)
    folder: Path = tmp_path_factory.mktemp("plant")
    database = await asyncio.to_thread(new_database, f"jobs{number}")
    plant = Plant(folder, database, f"{engines.cache}/{10 + number}")
    await plant.prepare()
    plant.relay()
    plant.worker()
    yield plant
    await plant.close()


@pytest.fixture
async def idle(engines: Engines, new_database: Callable[[str], str], tmp_path: Path) -> AsyncIterator[Plant]:
    """A plant in which nothing runs yet."""
    number = next(_numbers)
    database = await asyncio.to_thread(new_database, f"jobs{number}")
    plant = Plant(tmp_path, database, f"{engines.cache}/{10 + number}")
    await plant.prepare()
    yield plant
    await plant.close()
