"""One typed cache for what is expensive to fetch. `docs/reference/cache.md` has its guarantees and limits.

    @cached("weather", revalidate=60, expire=3600, stale_if_error=86400, tags=lambda city: [f"city:{city}"])
    async def forecast(city: str) -> Forecast: ...

    await cache.revalidate_tag("city:oslo")    # served once more while it refreshes
    await cache.update_tag("city:oslo")        # gone now: read your own writes

decorator   what a user writes
function    one cached function: its keys (audience, arguments), its type (codec)
lookup      reading and refreshing, fill: running the function, once
store       this process: local copies, the server, calls on their way
server      five commands to Valkey or Redis, over a link that can be away
entry       one answer and how old it may be
status      counters, and the header Cache-Status
"""

from app.core.cache.audience import Audience, serve
from app.core.cache.decorator import cached
from app.core.cache.status import counters
from app.core.cache.store import answers, connected, revalidate_tag, update_tag

__all__ = ["Audience", "answers", "cached", "connected", "counters", "revalidate_tag", "serve", "update_tag"]
