"""How often somebody may try: counted in Valkey, atomically, across all processes.

Without the server each process counts for itself: the limits hold per process, never not at all.
"""

import hashlib
import re
import time
from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

import structlog

from app.core.errors import TooManyRequests

log = structlog.get_logger(__name__)
SECONDS = 0.25
AWAY_SECONDS, LONGEST_AWAY_SECONDS = 1.0, 8.0
"""After a failure the server is asked again: one request waits for `SECONDS`, less and less often."""


class Limit(NamedTuple):
    """At most `most` in any `seconds` for each `name` and key."""

    name: str
    most: int
    seconds: int


class Throttle:
    """Moving windows of the library `limits`. Nothing is imported or connected before the first count."""

    def __init__(self, redis_url: str) -> None:
        self.url = re.sub("^valkey", "redis", redis_url)
        self.away_until, self.pause = 0.0, AWAY_SECONDS

    async def hit(self, limits: Iterable[tuple[Limit, str]], event: str) -> None:
        """Count one try under each limit and key; TooManyRequests when one is used up."""
        for limit, key in limits:
            if not await self.allows(limit, key):
                raise TooManyRequests(
                    "That was too often. Wait, then try again.",
                    seconds=await self._wait(limit, key),
                    event=event,
                )

    async def allows(self, limit: Limit, key: str) -> bool:
        """Count one; whether it was within the limit."""
        return bool(await self._ask("hit", limit, key))

    async def clear(self, limit: Limit, key: str) -> None:
        """Forget what was counted."""
        await self._ask("clear", limit, key)

    async def close(self) -> None:
        """End the connections, if there are any."""
        if "_shared" in self.__dict__ and self.url:
            await self._shared.storage.bridge.get_connection().aclose()  # type: ignore[attr-defined]

    async def _wait(self, limit: Limit, key: str) -> int:
        stats = await self._ask("get_window_stats", limit, key)
        return round(stats.reset_time - time.time())

    async def _ask(self, command: str, limit: Limit, key: str):
        from limits import RateLimitItemPerSecond
        from redis.exceptions import RedisError

        item = RateLimitItemPerSecond(limit.most, limit.seconds, namespace=f"throttle:{limit.name}")
        hashed = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        if self.url and time.monotonic() >= self.away_until:
            try:
                found = await getattr(self._shared, command)(item, hashed)
                self.pause = AWAY_SECONDS
                return found
            except (RedisError, OSError, TimeoutError) as error:
                if time.monotonic() >= self.away_until:  # the first of those that waited together
                    self.away_until = time.monotonic() + self.pause
                    self.pause = min(2 * self.pause, LONGEST_AWAY_SECONDS)
                log.warning("throttle counts alone", error=type(error).__name__)
        return await getattr(self._alone, command)(item, hashed)

    @cached_property
    def _shared(self):
        from limits.aio.storage import RedisStorage
        from limits.aio.strategies import MovingWindowRateLimiter
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        options = {
            "socket_timeout": SECONDS,
            "socket_connect_timeout": SECONDS,
            "retry": Retry(NoBackoff(), 0),
        }
        storage = RedisStorage(f"async+{self.url}", implementation="redispy", **options)  # type: ignore[arg-type]
        return MovingWindowRateLimiter(storage)

    @cached_property
    def _alone(self):
        from limits.aio.storage import MemoryStorage
        from limits.aio.strategies import MovingWindowRateLimiter

        return MovingWindowRateLimiter(MemoryStorage())
