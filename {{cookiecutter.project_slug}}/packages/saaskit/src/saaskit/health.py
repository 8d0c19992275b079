"""Liveness and readiness checks for load balancers."""

from collections.abc import Mapping
from typing import Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

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


async def check_readiness(
    db: AsyncSession, *, cache_available: bool, upstreams: Mapping[str, Availability]
) -> Readiness:
    """Return the state of each service; raises DatabaseUnavailable."""
    await db.execute(text("SELECT 1"))
    cache: Availability = "ok" if cache_available else "unavailable"
    degraded = "unavailable" in (cache, *upstreams.values())
    return Readiness(status="degraded" if degraded else "ok", cache=cache, upstreams=dict(upstreams))
