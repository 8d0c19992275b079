"""/api/cache/tags/city:oslo: what is cached under a tag. For who is signed in, and not too often."""

from typing import Annotated

from fastapi import Path

from app.core import cache
from app.core.errors import TooManyRequests, Unauthorized
from app.core.problems import problems
from app.core.types import Line
from app.deps import CurrentUser, Work
from app.services import limits
from filerouter import RouteConfig, operation

config = RouteConfig(responses=problems(Unauthorized, TooManyRequests))
Tag = Annotated[Line, Path()]


@operation(status_code=204)
async def post(tag: Tag, user: CurrentUser, work: Work) -> None:
    """Mark what carries the tag as stale: it is served once more while it refreshes."""
    await limits.costly(work, user)
    await cache.revalidate_tag(tag)


@operation(status_code=204)
async def delete(tag: Tag, user: CurrentUser, work: Work) -> None:
    """Expire what carries the tag: the next answer is new."""
    await limits.costly(work, user)
    await cache.update_tag(tag)
