"""Valkey or Redis, where the cache lives. Its absence degrades the service and never fails a request."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis.asyncio import Redis

OPERATION_SECONDS = 0.25


def create_cache(url: str) -> "Redis":
    """A client on `url`; nothing is connected until the first command, each bound to 0.25 s."""
    # Costs 0.15 s to import, and no answer waits for it.
    from redis.asyncio import Redis

    return Redis.from_url(
        url.replace("valkey", "redis", 1),
        socket_timeout=OPERATION_SECONDS,
        socket_connect_timeout=OPERATION_SECONDS,
    )


async def cache_answers(url: str) -> bool:
    """Whether the cache server answers a PING within its time limit."""
    from redis.exceptions import RedisError

    client = create_cache(url)
    try:
        return bool(await client.ping())
    except (RedisError, OSError, TimeoutError):
        return False
    finally:
        await client.aclose()
