"""Finished jobs are deleted every night after JOBS_KEEP_DAYS."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast
from uuid import UUID

import pytest
from packages.saaskit.jobs.kinds import Work
from saaskit.jobs import JobAttempt, JobContext, JobRecord, enqueue, queries, retention
from saaskit.jobs.job import handlers
from saaskit.jobs.retention import PurgeJobs
from saaskit.jobs.schedules import schedules
from saaskit.settings import Settings
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession


async def finished(db: AsyncSession, days: float, state: str = "succeeded") -> UUID:
    """Create a job that finished so many days ago, after one attempt."""
    row = await enqueue(db, Work())
    claimed = await queries.claim(db, row.id, "worker", 30)
    assert claimed
    assert await queries.finish(db, claimed, state)
    then = func.now() - timedelta(days=days)
    await db.execute(update(JobRecord).where(JobRecord.id == row.id).values(finished_at=then))
    return row.id


async def test_old_jobs_are_deleted_with_their_attempts(db: AsyncSession, monkeypatch: pytest.MonkeyPatch):
    """In every final state, and in several statements; recent and active jobs stay."""
    monkeypatch.setattr(retention, "BATCH", 2)
    for state in ("succeeded", "dead", "cancelled") * 2:
        await finished(db, 7.1, state)
    recent, waiting = await finished(db, 6.9), (await enqueue(db, Work())).id
    settings = Settings(environment="test", jobs_keep_days=7)
    context = cast("JobContext", SimpleNamespace(db=db, settings=settings))
    purge_jobs = handlers[PurgeJobs.options.kind]
    assert await purge_jobs(PurgeJobs(), context) == {"deleted": 6}
    assert set(await db.scalars(select(JobRecord.id))) == {recent, waiting}
    assert set(await db.scalars(select(JobAttempt.job_id))) == {recent}
    assert await purge_jobs(PurgeJobs(), context) == {"deleted": 0}


def test_the_purge_runs_every_night():
    tick = schedules["purge_jobs"].last_tick(datetime(2026, 11, 23, 12, 0, tzinfo=UTC))
    assert tick == datetime(2026, 11, 23, 3, 17, tzinfo=UTC)
