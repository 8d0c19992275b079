"""/api/cache/tags/city:oslo: the cached values with a tag."""

from typing import Annotated

from fastapi import Path
from filerouter import RouteConfig, operation
from saaskit import cache
from saaskit.errors import TooManyRequests, Unauthorized
from saaskit.ratelimit import Limit
from saaskit.types import SingleLine
from saaskit.web import problems

from app.deps import limit_per_user

config = RouteConfig(
    dependencies=[limit_per_user(Limit("cache", max_requests=60, seconds=60))],
    responses=problems(Unauthorized, TooManyRequests),
)
Tag = Annotated[SingleLine, Path()]


@operation(status_code=204)
async def post(tag: Tag) -> None:
    """Revalidate a tag: its values are served stale while they are refreshed."""
    await cache.revalidate_tag(tag)


@operation(status_code=204)
async def delete(tag: Tag) -> None:
    """Expire a tag: the next request fetches new values."""
    await cache.update_tag(tag)
