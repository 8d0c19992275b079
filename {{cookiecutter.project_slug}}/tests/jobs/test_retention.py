"""Finished jobs are deleted after JOBS_KEEP_DAYS, every night."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app import jobs
from app.core.jobs import Run, enqueue, retention, states
from app.core.jobs.schedules import schedules
from app.jobs.retention import ForgetJobs, forget_jobs
from app.models.jobs import AttemptRow, JobRow
from tests.jobs.kinds import Work


async def ended(db: AsyncSession, days: float, state: str = "succeeded") -> UUID:
    """A job that ended so many days ago, after one attempt."""
    row = await enqueue(db, Work())
    await db.flush()
    claimed = await states.claim(db, row.id, "worker", 30)
    assert claimed
    assert await states.settle(db, claimed, state)
    then = func.now() - timedelta(days=days)
    await db.execute(update(JobRow).where(JobRow.id == row.id).values(finished_at=then))
    return row.id


async def test_what_ended_long_ago_goes_with_its_attempts(db: AsyncSession, monkeypatch: pytest.MonkeyPatch):
    """Whatever became of it, in several statements if need be; what is young or has not ended stays."""
    monkeypatch.setattr(retention, "BATCH", 2)
    for state in ("succeeded", "dead", "cancelled") * 2:
        await ended(db, 14.1, state)
    young, waiting = await ended(db, 13.9), (await enqueue(db, Work())).id
    assert await forget_jobs(ForgetJobs(), cast("Run", SimpleNamespace(db=db))) == {"forgotten": 6}
    assert set(await db.scalars(select(JobRow.id))) == {young, waiting}
    assert set(await db.scalars(select(AttemptRow.job_id))) == {young}
    assert await forget_jobs(ForgetJobs(), cast("Run", SimpleNamespace(db=db))) == {"forgotten": 0}


def test_every_night():
    jobs.register()
    at = schedules["forget_jobs"].last(datetime(2026, 11, 23, 12, 0, tzinfo=UTC))
    assert at == datetime(2026, 11, 23, 3, 17, tzinfo=UTC)
