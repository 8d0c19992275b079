"""The jobs that build exports and delete expired ones."""

import csv
import io
from importlib import import_module
from typing import Any, get_args

from saaskit.jobs import Job, JobContext, PermanentFailure, handler, schedule
from sqlalchemy import Select, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.models import User
from app.exports.models import Export
from app.exports.schemas import Resource

BATCH = 500


class BuildExport(Job, queue="default", max_attempts=5, time_limit=300, concurrency=2):
    """Builds the CSV file of an export."""

    export_id: int


class DeleteExpiredExports(Job, unique=True):
    """Deletes expired exports."""


schedule(DeleteExpiredExports(), cron="23 * * * *", zone="UTC")


@handler(BuildExport)
async def build_export(job: BuildExport, context: JobContext) -> dict[str, int]:
    """Store the file in the transaction that marks the job as succeeded. Returns the number of rows."""
    export = await _get_for_active_owner(context.db, job.export_id)
    rows = _select_rows(export)
    total = await context.db.scalar(select(func.count()).select_from(rows.subquery())) or 0
    text = io.StringIO(newline="")
    file = csv.writer(text)
    file.writerow(column.name for column in rows.selected_columns)
    done = 0
    result = await context.db.stream(rows.execution_options(yield_per=BATCH))
    async for batch in result.partitions():
        file.writerows([escape_formula(value) for value in row] for row in batch)
        done += len(batch)
        context.progress(100 * done / max(total, done), f"{done} of {total} rows")
    export.content, export.rows, export.completed_at = text.getvalue().encode(), done, func.now()
    return {"rows": done}


@handler(DeleteExpiredExports)
async def delete_expired_exports(job: DeleteExpiredExports, context: JobContext) -> dict[str, int]:
    """Return the number of deleted exports."""
    deleted = await context.db.scalars(
        delete(Export).where(Export.expires_at <= func.now()).returning(Export.id)
    )
    return {"deleted": len(deleted.all())}


async def _get_for_active_owner(db: AsyncSession, export_id: int) -> Export:
    owned_by_active = select(Export).join(User, User.id == Export.owner_id)
    export = await db.scalar(owned_by_active.where(Export.id == export_id, User.disabled_at.is_(None)))
    if export is None:
        raise PermanentFailure("The export was deleted, or the account that requested it is closed.")
    return export


def _select_rows(export: Export) -> Select[*tuple[Any, ...]]:
    if export.resource not in get_args(Resource):  # the row may be older than the code
        raise PermanentFailure(f"{export.resource} can no longer be exported.")
    return import_module(f"app.{export.resource}.export").select_rows(export.owner_id)


def escape_formula(value: object) -> object:
    """Put an apostrophe before text that a spreadsheet would run as a formula (OWASP, CSV injection)."""
    is_formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if is_formula else value
