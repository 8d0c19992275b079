"""Whether what we need answers."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import cache
from app.schemas.health import Readiness


async def check(db: AsyncSession) -> Readiness:
    """Ask the database (it must answer: DatabaseUnavailable) and the cache (it may be away: degraded)."""
    await db.execute(text("SELECT 1"))
    reached = "ok" if await cache.answers() else "unavailable"
    return Readiness(status="ok" if reached == "ok" else "degraded", cache=reached)
