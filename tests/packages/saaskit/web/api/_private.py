"""A module beside the routes, which has no URL."""


async def get() -> None:
    """Look like a handler."""
