"""Exports: create, list, get, download."""

from datetime import timedelta
from typing import Any

from saaskit.errors import NotFound, Unprocessable
from saaskit.jobs import JobRecord, enqueue
from saaskit.web import CursorPage, CursorQuery, cursor_page
from sqlalchemy import ColumnElement, Select, case, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.exports import models
from app.exports.jobs import BuildExport
from app.exports.schemas import Export, ExportCreate

LIFETIME = timedelta(days=7)
_STATUS = case(
    (models.Export.completed_at.is_not(None), "ready"),
    (JobRecord.state.in_(["queued", "running", "succeeded"]), "pending"),
    else_="failed",
).label("status")


async def create(db: AsyncSession, owner_id: int, new: ExportCreate, idempotency_key: str | None) -> Export:
    """Create an export and enqueue the job that builds it.

    Returns the existing export if the key was used before for the same resource; raises Unprocessable if it
    was used for another one.
    """
    row = await db.scalar(
        insert(models.Export)
        .values(
            owner_id=owner_id,
            resource=new.resource,
            idempotency_key=idempotency_key,
            expires_at=func.now() + LIFETIME,
        )
        .on_conflict_do_nothing()
        .returning(models.Export)
    )
    if row is None:
        statement = _owned(owner_id, models.Export.idempotency_key == idempotency_key)
        existing = (await db.execute(statement)).one()
        if existing.resource != new.resource:
            raise Unprocessable("This Idempotency-Key was used before for a different request body.")
        return Export.model_validate(existing)
    job = await enqueue(db, BuildExport(export_id=row.id), owner=str(owner_id))
    row.job_id = job.id
    await db.flush()
    return Export.model_validate(vars(row) | {"status": "pending"})


async def list_for_owner(db: AsyncSession, owner_id: int, query: CursorQuery) -> CursorPage[Export]:
    """Return a page of the owner's exports, newest first."""
    rows = _owned(owner_id).order_by(models.Export.id.desc()).limit(query.limit + 1)
    if query.cursor:
        rows = rows.where(models.Export.id < query.cursor)
    found = [Export.model_validate(row) for row in await db.execute(rows)]
    return cursor_page(Export, found, query.limit)


async def get(db: AsyncSession, owner_id: int, export_id: int) -> Export:
    """Return the owner's export; raises NotFound."""
    row = (await db.execute(_owned(owner_id, models.Export.id == export_id))).one_or_none()
    if row is None:
        raise NotFound("There is no such export.")
    return Export.model_validate(row)


async def get_content(db: AsyncSession, owner_id: int, export_id: int) -> tuple[str, bytes]:
    """Return the file's name and content; raises NotFound until it is ready."""
    export = await get(db, owner_id, export_id)
    content = await db.scalar(select(models.Export.content).where(models.Export.id == export_id))
    if content is None:
        raise NotFound("The file is not ready. It becomes available when the export's job has succeeded.")
    return f"{export.resource}.csv", content


def _owned(owner_id: int, *where: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    export = models.Export
    columns = (
        export.id,
        export.resource,
        export.job_id,
        export.rows,
        export.created_at,
        export.completed_at,
        export.expires_at,
        _STATUS,
    )
    owned = select(*columns).outerjoin(JobRecord, JobRecord.id == export.job_id)
    return owned.where(export.owner_id == owner_id, export.expires_at > func.now(), *where)
