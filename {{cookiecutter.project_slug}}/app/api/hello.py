"""The smallest endpoint: this file is GET /api/hello."""

from app.core.types import Line
from app.schemas.hello import Hello
from filerouter import RouteConfig

config = RouteConfig(public=True)


async def get(name: Line = "world") -> Hello:
    """Greet somebody: `?name=Ada`."""
    return Hello(message=f"Hello, {name}!")
