"""The columns of posts in an export."""

from typing import Any

from sqlalchemy import Select, select

from app.posts.models import Post


def select_rows(user_id: int) -> Select[*tuple[Any, ...]]:
    """Select the posts that the user wrote."""
    columns = (Post.id, Post.slug, Post.title, Post.author_id, Post.published_at)
    return select(*columns).where(Post.author_id == user_id).order_by(Post.id)
