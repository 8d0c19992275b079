"""Whether what we need answers."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import cache, upstream
from app.schemas.health import Readiness, State


async def check(db: AsyncSession) -> Readiness:
    """Ask them. The database must answer, or it is DatabaseUnavailable."""
    await db.execute(text("SELECT 1"))
    cached: State = "ok" if await cache.answers() else "unavailable"
    upstreams: dict[str, State] = {name: each.state for name, each in sorted(upstream.REGISTRY.items())}
    states = {
        cached,
        *upstreams.values(),
    }
    return Readiness(
        status="degraded" if "unavailable" in states else "ok",
        cache=cached,
        upstreams=upstreams,
    )
