"""The connections to Valkey or Redis, bounded in time, and a switch for when it is away.

Nobody waits for a dead server twice: the first call that fails turns the switch, and from then on callers are
answered without it while a PING in the background, once a second, finds out when it is back. A call that is
slow has it asked at once, and the switch turned when it is slow again: a machine that is busy is no outage.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import structlog

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = structlog.get_logger(__name__)
T = TypeVar("T")
Return = Callable[["Redis"], Awaitable[None]]

OPERATION_SECONDS = 0.25
SLOW_SECONDS = 0.04
"""An answer that is waited for longer than this is used, and the next caller does not wait for one."""
DOUBT_SECONDS = 0.03
"""After one slow answer the next callers wait so long for a PING to clear the server."""
PROBE_SECONDS = 1.0
CONNECTIONS = 32


class Away(Exception):
    """The server does not answer in time; never leaves the cache."""


class Link:
    """One server, one event loop. `on_return` runs before the switch turns back."""

    def __init__(self, url: str, on_return: Return) -> None:
        self.url, self.on_return = re.sub("^valkey", "redis", url), on_return
        self.away, self._told = not url, False
        self._client: Redis | None = None
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._probe: asyncio.Task[None] | None = None
        self._probe_at = 0.0

    async def run(self, command: Callable[["Redis"], Awaitable[T]], *, replies: int = 1) -> T:
        """The command's result; Away when there is none in time. The client bounds each reply, we several."""
        if self.away and not await self._returns():
            raise Away
        client = self._connect()
        async with self._slots:
            if self.away and not await self._returns():  # away since we queued
                raise Away
            waited = _waiting()
            try:
                if replies == 1:
                    result = await command(client)
                else:
                    async with asyncio.timeout(OPERATION_SECONDS):
                        result = await command(client)
            except Exception as error:
                if not _is_outage(error):
                    raise
                self._turn_away(type(error).__name__)
                raise Away from error
            if waited() > SLOW_SECONDS:
                self._doubt()
            return result

    async def close(self) -> None:
        """End the probe and the connections."""
        if self._probe:
            self._probe.cancel()
        if self._client:
            await self._client.aclose()

    def _connect(self) -> "Redis":
        if self._client is None:
            # Costs 0.15 s to import, and no answer waits for it before the first cached call.
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff

            self._client = Redis.from_url(
                self.url,
                protocol=2,  # connects in fewer round trips
                driver_info=None,
                max_connections=CONNECTIONS + 1,  # one for the probe
                socket_timeout=OPERATION_SECONDS,
                socket_connect_timeout=OPERATION_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
        return self._client

    def _turn_away(self, why: str) -> None:
        if not self._told:
            log.warning("cache server away", why=why)
        self.away, self._told, self._probe_at = True, True, time.monotonic() + PROBE_SECONDS

    def _doubt(self) -> None:
        """Was it the server, or is the machine busy? Ask at once."""
        self.away, self._probe_at = True, 0.0
        self._look_again()

    async def _returns(self) -> bool:
        """Ask in the background whether it is back; while it is only in doubt, wait for that a moment."""
        self._look_again()
        if self._probe and not self._told:
            await asyncio.wait((self._probe,), timeout=DOUBT_SECONDS)
        return not self.away

    def _look_again(self) -> None:
        busy = self._probe and not self._probe.done()
        if self.url and not busy and time.monotonic() >= self._probe_at:
            self._probe_at = time.monotonic() + PROBE_SECONDS
            self._probe = asyncio.create_task(self._come_back(self._connect()))

    async def _come_back(self, client: "Redis") -> None:
        try:
            async with asyncio.timeout(4 * OPERATION_SECONDS):
                # The quickest counts: the first may have to connect, and a busy machine is late now and then.
                for _ in range(4):
                    waited = _waiting()
                    await client.ping()  # type: ignore[misc]
                    if waited() <= SLOW_SECONDS:
                        break
                else:
                    raise TimeoutError
                await self.on_return(client)
        except Exception as error:
            if not _is_outage(error):
                raise
            self._turn_away(type(error).__name__)
        else:
            if self._told:
                log.info("cache server back")
            self.away = self._told = False


def _waiting() -> Callable[[], float]:
    """Seconds from now on in which this thread had nothing to do: a busy loop is no slow server."""
    wall, cpu = time.monotonic(), time.thread_time()
    return lambda: (time.monotonic() - wall) - (time.thread_time() - cpu)


def _is_outage(error: Exception) -> bool:
    from redis.exceptions import RedisError

    return isinstance(error, RedisError | OSError | TimeoutError)
