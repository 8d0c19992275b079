"""The deletion of old jobs. Importing this module registers a job that runs every night."""

from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from saaskit.jobs.executor import JobContext
from saaskit.jobs.job import Job, handler
from saaskit.jobs.schedules import schedule
from saaskit.jobs.tables import JobRecord

__all__ = ["PurgeJobs", "purge"]

BATCH = 5000
"""Rows that one statement deletes."""


async def purge(db: AsyncSession, days: float) -> int:
    """Delete jobs that finished more than `days` ago, with their attempts. Returns the number of jobs."""
    deleted = 0
    while True:
        cutoff = func.now() - timedelta(days=days)
        old = select(JobRecord.id).where(JobRecord.finished_at < cutoff).limit(BATCH)
        ids = await db.scalars(delete(JobRecord).where(JobRecord.id.in_(old)).returning(JobRecord.id))
        count = len(ids.all())
        deleted += count
        if count < BATCH:
            return deleted


class PurgeJobs(Job, unique=True, time_limit=600):
    """Delete finished jobs, and the data that belongs to them, after JOBS_KEEP_DAYS."""


@handler(PurgeJobs)
async def purge_jobs(job: PurgeJobs, context: JobContext) -> dict[str, int]:
    """Return the number of deleted jobs."""
    return {"deleted": await purge(context.db, context.settings.jobs_keep_days)}


schedule(PurgeJobs(), cron="17 3 * * *", zone="UTC")
