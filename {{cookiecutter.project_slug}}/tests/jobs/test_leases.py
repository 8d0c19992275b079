"""What happens to a job when its worker dies, hangs, is stopped, or comes back from the dead."""

import asyncio
import signal
import sys
from uuid import UUID

import pytest
from sqlalchemy import text

from app.core.jobs import states
from tests.jobs.kinds import Poison, Stubborn, Work
from tests.jobs.plant import Plant, eventually, paused

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="needs prefork")]


async def effects(plant: Plant, job: UUID) -> int:
    return await plant.count("effects", f"job_id = '{job}'")


async def test_a_job_that_kills_its_process_is_dead_after_its_last_attempt(plant: Plant):
    job = await plant.ask(Poison())
    row = await plant.until(job, "dead")
    assert row.attempts == row.max_attempts == 3
    assert row.error
    assert row.error["type"] == "WorkerLost"
    assert "fell silent during attempt 3 of 3" in row.error["message"]
    await plant.until(await plant.ask(Work()), "succeeded")


async def test_a_handler_that_does_not_end_is_ended_with_its_process(plant: Plant):
    row = await plant.until(await plant.ask(Stubborn()), "dead")
    assert row.error
    assert (row.error["type"], row.attempts) == ("TimeLimitExceeded", 2)
    await plant.until(await plant.ask(Work()), "succeeded")


async def test_a_worker_that_comes_back_from_the_dead_changes_nothing(idle: Plant):
    """SIGSTOP past the lease; another worker does the job; SIGCONT: the zombie finds its lease gone."""
    zombie = idle.worker(LOG="zombie")
    idle.relay()
    job = await idle.ask(Work(seconds=1.5))
    await idle.until(job, "running")
    with paused(zombie):
        idle.worker()
        row = await idle.until(job, "succeeded")
        assert row.attempts == 2

    async def fenced() -> bool:
        return "job lost its lease" in idle.log("worker")

    await eventually(fenced)
    assert await effects(idle, job) == 1
    assert await idle.count("effects", f"job_id = '{job}' AND attempt = 2") == 1


async def test_sigterm_lets_a_short_job_finish(idle: Plant):
    worker = idle.worker(WORKER_GRACE_SECONDS="20")
    idle.relay()
    job = await idle.ask(Work(seconds=1))
    await idle.until(job, "running")
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, 15) == 0
    row = await idle.row(job)
    assert (row.state, row.attempts) == ("succeeded", 1)


async def test_sigterm_hands_a_long_job_back_and_counts_no_attempt(idle: Plant):
    worker = idle.worker(WORKER_GRACE_SECONDS="1")
    idle.relay()
    job = await idle.ask(Work(seconds=600))
    await idle.until(job, "running")
    worker.send_signal(signal.SIGTERM)
    await idle.until(job, "queued", limit=10)
    row = await idle.row(job)
    assert row.attempts == 0
    await asyncio.to_thread(worker.wait, 15)
    async with idle.sessions() as db:
        assert await db.scalar(text("SELECT outcome FROM job_attempts")) == "handed back"
    idle.worker()
    await idle.until(job, "running")


async def test_a_settled_or_expired_lease_cannot_be_used_again(idle: Plant):
    job = await idle.ask(Work())
    async with idle.sessions.begin() as db:
        claimed = await states.claim(db, job, "one", 30)
        assert claimed
        assert await states.claim(db, job, "two", 30) is None
    async with idle.sessions.begin() as db:
        assert await states.settle(db, claimed, "succeeded")
        assert not await states.settle(db, claimed, "dead")
        assert await states.renew(db, claimed, 30, 50, "") is None
    assert (await idle.row(job)).state == "succeeded"
