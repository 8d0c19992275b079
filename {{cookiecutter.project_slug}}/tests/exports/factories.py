"""Run the job of an export without a worker."""

from types import SimpleNamespace
from typing import Any, cast

from saaskit.jobs import JobContext
from sqlalchemy.ext.asyncio import AsyncSession

from app.exports.jobs import BuildExport, build_export


def job_context(db: AsyncSession) -> JobContext:
    """The parts of a job's context that the handlers use."""
    progress: list[Any] = []
    made = SimpleNamespace(db=db, progress=lambda *shown: progress.append(shown), shown=progress)
    return cast("JobContext", made)


async def build(db: AsyncSession, export_id: int) -> dict[str, int]:
    """Run the export's job."""
    result = await build_export(BuildExport(export_id=export_id), job_context(db))
    await db.commit()
    return result
