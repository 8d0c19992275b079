"""A typed cache for values that are expensive to fetch. docs/reference/cache.md has its guarantees.

    @cached("weather", revalidate=60, expire=3600, stale_if_error=86400, tags=lambda city: [f"city:{city}"])
    async def forecast(city: str) -> Forecast: ...

    await cache.revalidate_tag("city:oslo")    # entries are returned while they refresh
    await cache.update_tag("city:oslo")        # entries expire now: read your own writes

An application and a worker wrap their lifetime in `async with cache.connect(url):`. The code that
authenticates a request calls `cache.vary_by_user(user_id)`.

decorator      `@cached`: a cached function, the keys of its calls, its values as JSON
loader         read an entry, compute it once, refresh it
store          the cache of one process: entries and their states, calls in progress, invalidation
redis_backend  the commands on Valkey or Redis, and the outage switch

The user and the header Cache-Status of the current request or job are in `saaskit.cache_context`.
"""

from saaskit.cache.decorator import cached
from saaskit.cache.store import connect, is_available, revalidate_tag, update_tag
from saaskit.cache_context import CacheStatus, vary_by_user

__all__ = ["CacheStatus", "cached", "connect", "is_available", "revalidate_tag", "update_tag", "vary_by_user"]
