"""GET /api/ready: whether this process can serve requests now."""

from filerouter import RouteConfig
from saaskit import cache, upstream
from saaskit.health import Readiness, check_readiness

from app.deps import Db

config = RouteConfig(public=True)


async def get(db: Db) -> Readiness:
    """Readiness check: 503 if the database is down, `degraded` if the cache or an upstream is."""
    available = await cache.is_available()
    return await check_readiness(db, cache_available=available, upstreams=upstream.readiness())
