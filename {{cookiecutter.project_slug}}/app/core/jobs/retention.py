"""Finished jobs are kept for a while, then deleted with their attempts and files."""

from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.jobs.tables import JobRow

BATCH = 5000


async def forget(db: AsyncSession, days: float) -> int:
    """Delete what ended longer ago than `days`, at most 5000 at once per statement; how many."""
    forgotten = 0
    while True:
        old = select(JobRow.id).where(JobRow.finished_at < func.now() - timedelta(days=days)).limit(BATCH)
        gone = await db.scalars(delete(JobRow).where(JobRow.id.in_(old)).returning(JobRow.id))
        count = len(gone.all())
        forgotten += count
        if count < BATCH:
            return forgotten
