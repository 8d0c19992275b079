"""One call to an upstream: its place, its breaker, its retries, and its failures as problems."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import structlog

from app.core.errors import UpstreamBusy, UpstreamFailed, UpstreamLate
from app.core.upstream.breaker import Breaker
from app.core.upstream.limits import Limits
from app.core.upstream.line import Full, Line, Reply
from app.core.upstream.retries import IDEMPOTENT, PASSING, Budget, delay, retry_after

if TYPE_CHECKING:
    import httpx2

log = structlog.get_logger(__name__)


class Exchange:
    """What all calls to one upstream share."""

    def __init__(self, name: str, limits: Limits) -> None:
        self.name, self.limits = name, limits
        self.breaker, self.budget = Breaker(), Budget()
        self._lines: WeakKeyDictionary[asyncio.AbstractEventLoop, Line] = WeakKeyDictionary()

    @asynccontextmanager
    async def in_time(self) -> AsyncIterator[float]:
        """Everything inside ends within the total limit; yields the time (monotonic) at which it is over."""
        try:
            async with asyncio.timeout(self.limits.total):
                yield time.monotonic() + self.limits.total
        except TimeoutError:
            self.breaker.failed()
            raise self._late("total") from None

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes, deadline: float
    ) -> Reply:
        """The answer up to its headers, of any status, tried again where that is safe. Raises problems."""
        self.budget.earn()
        for attempt in range(self.limits.retries + 1):
            last = attempt == self.limits.retries
            try:
                reply = await self._attempt(method, url, headers, content)
            except UpstreamFailed as failure:
                wait = delay(attempt)
                sent = not isinstance(failure.__cause__, _never_sent())
                if last or (sent and method not in IDEMPOTENT) or not self._again(wait, deadline):
                    raise
            else:
                wait = self._wait(method, reply.response, attempt)
                if wait is None or last or not self._again(wait, deadline):
                    return reply
                await reply.close()
            await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    async def close(self) -> None:
        """End the connections of this event loop."""
        if line := self._lines.pop(asyncio.get_running_loop(), None):
            await line.transport.aclose()

    async def _attempt(self, method: str, url: str, headers: Mapping[str, str], content: bytes) -> Reply:
        if pause := self.breaker.admit():
            raise UpstreamBusy(self.name, pause)
        import httpx2

        limits = self.limits
        times = {"connect": limits.connect, "read": limits.read, "write": limits.read, "pool": limits.pool}
        try:
            request = httpx2.Request(
                method, url, headers=headers, content=content or None, extensions={"timeout": times}
            )
            reply = await self.line().send(request)
        except (Full, httpx2.PoolTimeout):
            self.breaker.abandoned()
            raise UpstreamBusy(self.name) from None
        except httpx2.ConnectTimeout as error:
            self.breaker.failed()
            raise UpstreamFailed(f"{self.name} cannot be reached.") from error
        except httpx2.TimeoutException as error:
            self.breaker.failed()
            raise self._late(type(error).__name__) from error
        except httpx2.TransportError as error:
            self.breaker.failed()
            log.warning("upstream failed", upstream=self.name, error=type(error).__name__)
            raise UpstreamFailed(f"{self.name} does not answer.") from error
        except BaseException:
            self.breaker.abandoned()
            raise
        if reply.response.status_code >= 500:
            self.breaker.failed()
        else:
            self.breaker.succeeded()
        return reply

    def line(self) -> Line:
        """The connections of this event loop: they cannot move to another."""
        loop = asyncio.get_running_loop()
        if loop not in self._lines:
            self._lines[loop] = Line(self.limits)
        return self._lines[loop]

    def _wait(self, method: str, response: "httpx2.Response", attempt: int) -> float | None:
        """Seconds until this answer is worth another try, None if it is not."""
        told = retry_after(response.headers.get("retry-after"))
        passing = response.status_code in PASSING or (response.status_code == 429 and told is not None)
        if not passing or method not in IDEMPOTENT:
            return None
        return delay(attempt) if told is None else told

    def _again(self, wait: float, deadline: float) -> bool:
        return time.monotonic() + wait + self.limits.connect < deadline and self.budget.spend()

    def _late(self, why: str) -> UpstreamLate:
        log.warning("upstream late", upstream=self.name, why=why)
        return UpstreamLate(f"{self.name} did not answer in time.")


def _never_sent() -> tuple[type[Exception], ...]:
    import httpx2

    return httpx2.ConnectError, httpx2.ConnectTimeout
