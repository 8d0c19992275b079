"""Whether what we need answers."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.cache import cache_answers
from app.schemas.health import Readiness


async def check(db: AsyncSession, redis_url: str) -> Readiness:
    """Ask the database (it must answer: DatabaseUnavailable) and the cache (it may be away: degraded)."""
    await db.execute(text("SELECT 1"))
    cache = "ok" if redis_url and await cache_answers(redis_url) else "unavailable"
    return Readiness(status="ok" if cache == "ok" else "degraded", cache=cache)
