"""/api/cache/tags/city:oslo: what is cached under a tag. Guarded."""

from typing import Annotated

from fastapi import Path

from app.core import cache
from app.core.errors import Unauthorized
from app.core.problems import problems
from app.core.types import Line
from filerouter import RouteConfig, operation

config = RouteConfig(responses=problems(Unauthorized))
Tag = Annotated[Line, Path()]


@operation(status_code=204)
async def post(tag: Tag) -> None:
    """Mark what carries the tag as stale: it is served once more while it refreshes."""
    await cache.revalidate_tag(tag)


@operation(status_code=204)
async def delete(tag: Tag) -> None:
    """Expire what carries the tag: the next answer is new."""
    await cache.update_tag(tag)
