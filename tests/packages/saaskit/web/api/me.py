"""GET /api/me, which needs a signed-in user."""


async def get() -> None:
    """Never run: the guard refuses every request."""
