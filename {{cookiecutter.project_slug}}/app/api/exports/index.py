"""POST /api/exports: a list as a file, made by a job."""

from fastapi import Response

from app.core import jobs
from app.core.jobs.answers import accept
from app.deps import Db, Owner
from app.jobs.exports import BuildExport
from app.schemas.exports import ExportCreate
from app.schemas.jobs import IdempotencyKey, Job
from filerouter import operation


@operation(status_code=202)
async def post(
    new: ExportCreate, db: Db, owner: Owner, response: Response, idempotency_key: IdempotencyKey = None
) -> Job:
    """Have a file made; the answer's `Location` is the job that makes it."""
    job = BuildExport(resource=new.resource)
    row = await jobs.enqueue(db, job, owner=owner, idempotency_key=idempotency_key)
    accept(response, row)
    return Job.model_validate(row)
