"""Jobs whose worker dies, hangs, is stopped, or continues after its lease expired."""

import asyncio
import signal
import sys
from uuid import UUID

import pytest
from packages.saaskit.jobs.job_system import JobSystem, eventually, paused
from packages.saaskit.jobs.kinds import Poison, Stubborn, Work
from saaskit.jobs import queries
from sqlalchemy import text

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="needs prefork")]


async def effects(system: JobSystem, job: UUID) -> int:
    return await system.count("effects", f"job_id = '{job}'")


async def test_a_job_that_kills_its_process_is_dead_after_its_last_attempt(system: JobSystem):
    job = await system.enqueue(Poison())
    row = await system.wait_for(job, "dead")
    assert row.attempts == row.max_attempts == 3
    assert row.error
    assert row.error["type"] == "WorkerLost"
    assert "stopped responding during attempt 3 of 3" in row.error["message"]
    await system.wait_for(await system.enqueue(Work()), "succeeded")


async def test_a_handler_that_ignores_its_time_limit_is_killed(system: JobSystem):
    row = await system.wait_for(await system.enqueue(Stubborn()), "dead")
    assert row.error
    assert (row.error["type"], row.attempts) == ("TimeLimitExceeded", 2)
    await system.wait_for(await system.enqueue(Work()), "succeeded")


async def test_a_worker_that_continues_after_its_lease_expired_changes_nothing(idle: JobSystem):
    """It is stopped past the lease (SIGSTOP) while another worker runs the job, then continued (SIGCONT)."""
    frozen = idle.worker()
    idle.relay()
    job = await idle.enqueue(Work(seconds=1.5))
    await idle.wait_for(job, "running")
    with paused(frozen.pid):
        idle.worker()
        row = await idle.wait_for(job, "succeeded")
        assert row.attempts == 2

    async def fenced() -> bool:
        return "job lost its lease" in idle.log("worker")

    await eventually(fenced)
    assert await effects(idle, job) == 1
    assert await idle.count("effects", f"job_id = '{job}' AND attempt = 2") == 1


async def test_sigterm_lets_a_short_job_finish(idle: JobSystem):
    worker = idle.worker(WORKER_GRACE_SECONDS="20")
    idle.relay()
    job = await idle.enqueue(Work(seconds=1))
    await idle.wait_for(job, "running")
    worker.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait, 15) == 0
    row = await idle.get(job)
    assert (row.state, row.attempts) == ("succeeded", 1)


async def test_sigterm_hands_a_long_job_back_and_counts_no_attempt(idle: JobSystem):
    worker = idle.worker(WORKER_GRACE_SECONDS="1")
    idle.relay()
    job = await idle.enqueue(Work(seconds=600))
    await idle.wait_for(job, "running")
    worker.send_signal(signal.SIGTERM)
    await idle.wait_for(job, "queued", limit=10)
    row = await idle.get(job)
    assert row.attempts == 0
    await asyncio.to_thread(worker.wait, 15)
    async with idle.sessionmaker() as db:
        assert await db.scalar(text("SELECT outcome FROM job_attempts")) == "handed back"
    idle.worker()
    await idle.wait_for(job, "running")


async def test_a_finished_lease_cannot_be_used_again(idle: JobSystem):
    job = await idle.enqueue(Work())
    async with idle.sessionmaker.begin() as db:
        claimed = await queries.claim(db, job, "one", 30)
        assert claimed
        assert await queries.claim(db, job, "two", 30) is None
    async with idle.sessionmaker.begin() as db:
        assert await queries.finish(db, claimed, "succeeded")
        assert not await queries.finish(db, claimed, "dead")
        assert await queries.renew(db, claimed, 30, 50, "") is None
    assert (await idle.get(job)).state == "succeeded"
