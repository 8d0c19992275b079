"""Make files of lists."""

from app.core.errors import Forbidden
from app.core.jobs import GiveUp, Job, Run, handles
from app.schemas.exports import ExportResult, Resource
from app.services import exports


class BuildExport(Job, queue="default", max_attempts=5, time_limit=300, concurrency=2):
    """A CSV file of a list of the owner's."""

    resource: Resource


@handles(BuildExport)
async def build_export(job: BuildExport, run: Run) -> ExportResult:
    """Write the file in the transaction that says that the job succeeded."""
    try:
        rows = await exports.build(run.db, run.id, int(run.owner or 0), job.resource, run.progress)
    except Forbidden as refused:
        raise GiveUp(refused.detail) from None
    return ExportResult(rows=rows, file=f"/api/exports/{run.id}/file")
