"""Liveness and readiness checks for load balancers."""

from typing import Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from saaskit import cache, upstream
from saaskit.schema import Output

__all__ = ["Health", "Readiness", "check_readiness"]

Availability = Literal["ok", "unavailable"]


class Health(Output):
    """The process responds."""

    status: Literal["ok"] = "ok"


class Readiness(Output):
    """The services that this process needs. It still serves requests when `degraded`."""

    status: Literal["ok", "degraded"]
    database: Literal["ok"] = "ok"
    cache: Availability
    upstreams: dict[str, Availability]
    """The outcome of the last calls; the check itself calls no upstream."""


async def check_readiness(db: AsyncSession) -> Readiness:
    """Return the state of each service; raises DatabaseUnavailable."""
    await db.execute(text("SELECT 1"))
    cache_state: Availability = "ok" if await cache.is_available() else "unavailable"
    upstreams = upstream.readiness()
    degraded = "unavailable" in (cache_state, *upstreams.values())
    return Readiness(status="degraded" if degraded else "ok", cache=cache_state, upstreams=upstreams)
