"""Whether what we need answers."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import cache, upstream
from app.schemas.health import Readiness


async def check(db: AsyncSession) -> Readiness:
    """Ask the database (it must answer: DatabaseUnavailable), the cache, and the breakers of upstreams."""
    await db.execute(text("SELECT 1"))
    reached = "ok" if await cache.answers() else "unavailable"
    readiness = Readiness(
        status="ok",
        cache=reached,
        upstreams={name: each.state for name, each in sorted(upstream.REGISTRY.items())},
    )
    if {reached, *readiness.upstreams.values()} != {"ok"}:
        readiness.status = "degraded"
    return readiness
