"""The broker is killed while a worker holds messages."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID

import pytest
from devstack import Valkey
from packages.saaskit.jobs.faults import Server
from packages.saaskit.jobs.job_system import JobSystem, eventually
from packages.saaskit.jobs.kinds import Work

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="no Valkey")]


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Server]:
    broker = await asyncio.to_thread(Server, Valkey(tmp_path / "valkey"))
    yield broker
    broker.end(signal.SIGTERM)


@pytest.fixture
async def own_system(broker: Server, new_database: Callable[[], str], tmp_path: Path) -> AsyncIterator[JobSystem]:
    """A job system on that broker, without running processes."""
    system = JobSystem(tmp_path, await asyncio.to_thread(new_database), f"{broker.url}/0")
    await system.prepare()
    yield system
    await system.close()


async def test_the_worker_survives_the_death_of_its_broker(broker: Server, own_system: JobSystem):
    """The same process finishes the jobs that were running, once, and the jobs that follow."""
    system = own_system
    system.relay()
    worker = system.worker()
    for deaths in range(1, 5):
        jobs = [await system.enqueue(Work(seconds=0.02)) for _ in range(60)]

        async def some_done(job: UUID = jobs[20]) -> bool:
            return (await system.get(job)).state == "succeeded"

        async def connection_lost(times: int = deaths) -> bool:
            return system.log("worker").count("Connection to broker lost") >= times

        await eventually(some_done, explain=system.logs)
        broker.end(signal.SIGKILL)
        await eventually(connection_lost, explain=system.logs)
        await asyncio.to_thread(broker.start)
        for job in jobs:
            await system.wait_for(job, "succeeded")
    assert worker.is_running() and worker.status() != "zombie", system.logs()
    assert await system.count("effects") == 240
    assert "Unrecoverable error" not in system.log("worker")
