"""Posts."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from app.core.paging import Page, paginate
from app.models.posts import Post as Row
from app.schemas.posts import Post, PostQuery


async def browse(db: AsyncSession, query: PostQuery) -> Page[Post]:
    """One page of posts, newest first, of one tag if it is named. Bodies stay in the database."""
    rows = (
        select(Row).options(defer(Row.body, raiseload=True)).order_by(Row.published_at.desc(), Row.id.desc())
    )
    if query.tag:
        rows = rows.where(Row.tags.contains([query.tag]))
    return await paginate(db, rows, Post, query)
