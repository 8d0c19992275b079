"""GET /api/ready: whether this process can serve now."""

from app.deps import Config, Db
from app.schemas.health import Readiness
from app.services import health
from filerouter import RouteConfig

config = RouteConfig(public=True)


async def get(db: Db, settings: Config) -> Readiness:
    """Ask the database and the cache; 503 without the database, degraded without the cache."""
    return await health.check(db, settings.redis_url)
