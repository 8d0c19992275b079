"""GET /api/health: for load balancers. Checks nothing but the process itself."""

from filerouter import RouteConfig
from saaskit.health import Health

config = RouteConfig(public=True)


async def get() -> Health:
    """Liveness check."""
    return Health()
