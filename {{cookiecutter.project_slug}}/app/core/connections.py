"""What a process holds open besides the database, as long as it serves."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from app.core import cache, upstream
from app.settings import Settings


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[None]:
    """For requests and jobs alike. Nothing is connected before it is needed."""
    async with AsyncExitStack() as held:
        for part in (
            cache.connected(settings.redis_url),
            upstream.opened(),
        ):
            await held.enter_async_context(part)
        yield
