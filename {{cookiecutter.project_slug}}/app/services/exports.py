"""Lists as files."""

import csv
import io
from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.errors import Forbidden, NotFound
from app.models.exports import Export
from app.models.jobs import JobRow
from app.models.orders import Order, OrderItem
from app.models.posts import Post
from app.models.users import User
from app.schemas.exports import Resource

BATCH = 500
ROWS: dict[Resource, Select[*tuple[Any, ...]]] = {
    "orders": select(
        Order.id,
        Order.user_id,
        Order.placed_at,
        OrderItem.product_id,
        OrderItem.quantity,
        OrderItem.unit_price,
    )
    .join(Order.items)
    .order_by(Order.id, OrderItem.product_id),
    "posts": select(Post.id, Post.slug, Post.title, Post.author_id, Post.published_at).order_by(Post.id),
}

OWNER = {"orders": Order.user_id, "posts": Post.author_id}


def inert(value: object) -> object:
    """Text that a spreadsheet would read as a formula gets an apostrophe in front (OWASP, CSV injection)."""
    return (
        f"'{value}"
        if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
        else value
    )


async def build(
    db: AsyncSession, id: UUID, owner_id: int, resource: Resource, progress: Callable[[float, str], None]
) -> int:
    """Write what is the owner's into a CSV file that belongs to job `id`; how many rows.

    Forbidden for an account that was disabled since the export was asked for.
    """
    if not await db.scalar(select(User.id).where(User.id == owner_id, User.disabled_at.is_(None))):
        raise Forbidden("The account that asked for this is closed.")
    rows = ROWS[resource].where(OWNER[resource] == owner_id)
    total = await db.scalar(select(func.count()).select_from(rows.subquery())) or 0
    text = io.StringIO(newline="")
    file = csv.writer(text)
    file.writerow(column.name for column in rows.selected_columns)
    done = 0
    result = await db.stream(rows.execution_options(yield_per=BATCH))
    async for batch in result.partitions():
        file.writerows([inert(value) for value in row] for row in batch)
        done += len(batch)
        progress(100 * done / max(total, done), f"{done} of {total} rows")
    content = text.getvalue().encode()
    db.add(Export(job_id=id, name=f"{resource}.csv", media_type="text/csv; charset=utf-8", content=content))
    return done


async def find(db: AsyncSession, owner: str, id: UUID) -> Export:
    """The file of the owner's export; NotFound while it is not done."""
    mine = select(Export).join(JobRow, JobRow.id == Export.job_id).where(JobRow.owner == owner)
    export = await db.scalar(mine.where(Export.job_id == id))
    if export is None:
        raise NotFound("There is no such file. If its job still works, come back when it has succeeded.")
    return export
