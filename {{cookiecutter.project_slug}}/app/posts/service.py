"""Posts: list."""

from saaskit.web import Page, paginate
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from app.posts import models
from app.posts.schemas import Post, PostQuery


async def list_page(db: AsyncSession, query: PostQuery) -> Page[Post]:
    """Return a page of posts, newest first, optionally of one tag. Bodies are not loaded."""
    post = models.Post
    rows = select(post).options(defer(post.body, raiseload=True))
    rows = rows.order_by(post.published_at.desc(), post.id.desc())
    if query.tag:
        rows = rows.where(post.tags.contains([query.tag]))
    return await paginate(db, rows, Post, query)
