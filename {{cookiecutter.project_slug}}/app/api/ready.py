"""GET /api/ready: whether this process can serve now."""

from app.deps import Db
from app.schemas.health import Readiness
from app.services import health
from filerouter import RouteConfig

config = RouteConfig(public=True)


async def get(db: Db) -> Readiness:
    """Ask what we need: 503 without the database, degraded without the cache or a foreign API."""
    return await health.check(db)
