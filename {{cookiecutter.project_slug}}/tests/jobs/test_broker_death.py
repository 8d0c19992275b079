"""The broker is killed while a worker holds messages: the worker outlives it."""

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from devstack.files import state
from devstack.valkey import Valkey
from tests.jobs.faults import Engine
from tests.jobs.kinds import Work
from tests.jobs.plant import Plant, eventually

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="no Valkey")]


async def test_the_worker_outlives_its_broker(new_database: Callable[[str], str], tmp_path: Path):
    """Same process before and after; what ran is done, once, and what comes later is done, too."""
    broker = await asyncio.to_thread(lambda: Engine(Valkey(state(tmp_path / "valkey"), durable=False)))
    database = await asyncio.to_thread(new_database, "outlives")
    plant = Plant(tmp_path, database, f"{broker.url}/0")
    await plant.prepare()
    plant.relay()
    worker = plant.worker()
    try:
        for _ in range(4):
            jobs = [await plant.ask(Work(seconds=0.02)) for _ in range(60)]

            async def under_way(some: UUID = jobs[20]) -> bool:
                return (await plant.row(some)).state == "succeeded"

            await eventually(under_way)
            broker.end(signal.SIGKILL)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(broker.start)
            for job in jobs:
                await plant.until(job, "succeeded")
        assert worker.is_running() and worker.status() != "zombie", plant.log("worker")
        assert await plant.count("effects") == 240
        assert "Unrecoverable error" not in plant.log("worker")
    finally:
        await plant.close()
        broker.end(signal.SIGTERM)
