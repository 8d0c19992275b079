"""GET /api/health: for load balancers, asks nothing of anybody."""

from app.schemas.health import Health
from filerouter import RouteConfig

config = RouteConfig(public=True)


async def get() -> Health:
    """Say that the process answers."""
    return Health()
