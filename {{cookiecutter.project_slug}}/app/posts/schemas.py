"""Request and response models of posts."""

from datetime import datetime

from saaskit.schema import Output
from saaskit.types import Slug
from saaskit.web import PageQuery


class PostQuery(PageQuery):
    """Filters and page of a post list: `?page=2&per_page=10&tag=nextjs`."""

    tag: Slug | None = None


class Post(Output):
    """A post without its body."""

    id: int
    slug: str
    title: str
    tags: list[str]
    author_id: int
    published_at: datetime
