"""Rate limits: moving windows, counted on Valkey or Redis, atomically and across all processes.

Without the server each process counts for itself, so a limit then holds per process.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import structlog

from saaskit.errors import TooManyRequests
from saaskit.settings import redis_scheme

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.aio.strategies import MovingWindowRateLimiter
    from redis.asyncio import ConnectionPool

__all__ = ["Limit", "RateLimiter"]

log = structlog.get_logger(__name__)
T = TypeVar("T")
TIMEOUT_SECONDS = 0.25
MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 8.0
"""Pause before the server is tried again after a failure; it doubles with each further failure."""


class Limit(NamedTuple):
    """At most `max_requests` in any `seconds`, for each name and key."""

    name: str
    max_requests: int
    seconds: int


class RateLimiter:
    """Counts requests under limits. It imports `limits` and connects at the first request.

    A server that does not reply within `timeout` seconds counts as unavailable.
    """

    def __init__(
        self,
        redis_url: str,
        *,
        timeout: float = TIMEOUT_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url, self._timeout = redis_scheme(redis_url), timeout
        self._pool: ConnectionPool | None = None
        self._shared: MovingWindowRateLimiter | None = None
        self._local: MovingWindowRateLimiter | None = None
        self._backoff = _Backoff(monotonic)

    async def check(self, limits: Iterable[tuple[Limit, str]], event: str) -> None:
        """Count one request under each limit and key; raises TooManyRequests if one is exhausted.

        `event` is the name of the audit event for the refusal.
        """
        for limit, key in limits:
            if not await self.allow(limit, key):
                window = await self._run(limit, key, lambda windows, *args: windows.get_window_stats(*args))
                seconds = round(window.reset_time - time.time())
                raise TooManyRequests("Too many requests. Try again later.", seconds=seconds, event=event)

    async def allow(self, limit: Limit, key: str) -> bool:
        """Count one request; returns whether it is within the limit."""
        return await self._run(limit, key, lambda windows, *args: windows.hit(*args))

    async def reset(self, limit: Limit, key: str) -> None:
        """Forget the requests that were counted."""
        await self._run(limit, key, lambda windows, *args: windows.clear(*args))

    async def aclose(self) -> None:
        """Close the connections."""
        if self._pool:
            await self._pool.aclose()

    async def _run(
        self,
        limit: Limit,
        key: str,
        command: Callable[["MovingWindowRateLimiter", "RateLimitItem", str], Awaitable[T]],
    ) -> T:
        from limits import RateLimitItemPerSecond
        from redis.exceptions import RedisError

        item = RateLimitItemPerSecond(limit.max_requests, limit.seconds, namespace=f"throttle:{limit.name}")
        # Keys may be personal data, of any length, and contain lone surrogates.
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        if self._url and self._backoff.is_over():
            try:
                result = await command(self._connect(), item, digest)
            except (RedisError, OSError, TimeoutError) as error:
                self._backoff.record_failure()
                log.warning("rate limits are counted per process", error=type(error).__name__)
            else:
                self._backoff.record_success()
                return result
        return await command(self._fallback(), item, digest)

    def _connect(self) -> "MovingWindowRateLimiter":
        if self._shared is None:
            from limits.aio.storage import RedisStorage
            from limits.aio.strategies import MovingWindowRateLimiter
            from redis.asyncio import ConnectionPool
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff

            self._pool = ConnectionPool.from_url(
                self._url,
                socket_timeout=self._timeout,
                socket_connect_timeout=self._timeout,
                retry=Retry(NoBackoff(), 0),
            )
            storage = RedisStorage(f"async+{self._url}", implementation="redispy", connection_pool=self._pool)  # type: ignore[arg-type]
            self._shared = MovingWindowRateLimiter(storage)
        return self._shared

    def _fallback(self) -> "MovingWindowRateLimiter":
        if self._local is None:
            from limits.aio.storage import MemoryStorage
            from limits.aio.strategies import MovingWindowRateLimiter

            self._local = MovingWindowRateLimiter(MemoryStorage())
        return self._local


class _Backoff:
    """The pause after failures: 1, 2, 4, then 8 seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._until, self._pause = 0.0, MIN_PAUSE_SECONDS

    def is_over(self) -> bool:
        return self._monotonic() >= self._until

    def record_failure(self) -> None:
        if self.is_over():  # requests that failed at the same time count once
            self._until = self._monotonic() + self._pause
            self._pause = min(2 * self._pause, MAX_PAUSE_SECONDS)

    def record_success(self) -> None:
        self._pause = MIN_PAUSE_SECONDS
