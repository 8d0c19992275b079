"""/api/exports: exports of your data as files, built by a job."""

from typing import Annotated

from fastapi import Query, Response
from filerouter import operation
from saaskit.jobs.owner import IdempotencyKey
from saaskit.web import CursorPage, CursorQuery

from app.deps import CurrentUser, Db
from app.exports import service as exports
from app.exports.schemas import Export, ExportCreate


async def get(query: Annotated[CursorQuery, Query()], user: CurrentUser, db: Db) -> CursorPage[Export]:
    """List your exports, newest first."""
    return await exports.list_for_owner(db, user.id, query)


@operation(status_code=202)
async def post(
    new: ExportCreate, user: CurrentUser, db: Db, response: Response, idempotency_key: IdempotencyKey = None
) -> Export:
    """Start an export. `Location` points to it; its `job_id` is the job that builds the file."""
    export = await exports.create(db, user.id, new, idempotency_key)
    response.headers["Location"] = f"/api/exports/{export.id}"
    response.headers["Retry-After"] = "1"
    return export
