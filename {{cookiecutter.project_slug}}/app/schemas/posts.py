"""Posts on the wire."""

from datetime import datetime

from app.core.paging import PageQuery
from app.core.schema import Output
from app.core.types import Slug


class PostQuery(PageQuery):
    """Which posts: `?page=2&per_page=10&tag=nextjs`."""

    tag: Slug | None = None


class Post(Output):
    """A post without its body, as lists show it."""

    id: int
    slug: str
    title: str
    tags: list[str]
    author_id: int
    published_at: datetime
