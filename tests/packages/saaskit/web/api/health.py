"""GET /api/health."""

from filerouter import RouteConfig

config = RouteConfig(public=True)


async def get() -> dict[str, str]:
    """Liveness check."""
    return {"status": "ok"}
