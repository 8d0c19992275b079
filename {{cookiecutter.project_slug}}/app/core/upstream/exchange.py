"""One call to an upstream: its place, its breaker, its retries, and its failures as problems."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import structlog

from app.core.errors import BadRequest, UpstreamBusy, UpstreamFailed, UpstreamLate
from app.core.upstream.breaker import Breaker, Call
from app.core.upstream.limits import Limits
from app.core.upstream.line import Full, Line, Reply
from app.core.upstream.retries import IDEMPOTENT, PASSING, Budget, delay, retry_after

if TYPE_CHECKING:
    import httpx2

log = structlog.get_logger(__name__)


@dataclass
class Span:
    """The time (monotonic) at which everything is over, and the attempt that is being made."""

    until: float
    call: Call | None = None


class Exchange:
    """What all calls to one upstream share."""

    def __init__(self, name: str, limits: Limits) -> None:
        self.name, self.limits = name, limits
        self.breaker, self.budget = Breaker(), Budget()
        self._lines: WeakKeyDictionary[asyncio.AbstractEventLoop, Line] = WeakKeyDictionary()

    @asynccontextmanager
    async def in_time(self) -> AsyncIterator[Span]:
        """Everything inside ends within the total limit."""
        span = Span(time.monotonic() + self.limits.total)
        try:
            async with asyncio.timeout(self.limits.total):
                yield span
        except TimeoutError:
            if span.call:
                span.call.failed()
            raise self.late("total") from None
        except BaseException:
            if span.call:
                span.call.abandoned()
            raise

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes, span: Span
    ) -> Reply:
        """The answer up to its headers, of any status, tried again where that is safe. Raises problems."""
        self.budget.earn()
        for attempt in range(self.limits.retries + 1):
            last = attempt == self.limits.retries
            try:
                reply = await self._attempt(method, url, headers, content, span)
            except UpstreamFailed as failure:
                wait = delay(attempt)
                sent = not isinstance(failure.__cause__, _never_sent())
                if last or (sent and method not in IDEMPOTENT) or not self._again(wait, span.until):
                    raise
            else:
                wait = self._wait(method, reply.response, attempt)
                if wait is None or last or not self._again(wait, span.until):
                    return reply
                await reply.close()
            await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    async def close(self) -> None:
        """End the connections of this event loop."""
        if line := self._lines.pop(asyncio.get_running_loop(), None):
            await line.transport.aclose()

    async def _attempt(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes, span: Span
    ) -> Reply:
        import httpx2

        limits = self.limits
        times = {"connect": limits.connect, "read": limits.read, "write": limits.read, "pool": limits.pool}
        sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        try:
            request = httpx2.Request(
                method, url, headers=sent, content=content or None, extensions={"timeout": times}
            )
        except httpx2.InvalidURL:
            raise BadRequest("This is longer than may be passed on.") from None
        if pause := self.breaker.refuses():
            raise UpstreamBusy(self.name, pause)
        span.call = call = self.breaker.admit()
        try:
            reply = await self.line().send(request, call)
        except (Full, httpx2.PoolTimeout):
            call.abandoned()
            raise UpstreamBusy(self.name) from None
        except broken() as error:
            call.failed()
            raise self.problem(error) from error
        if reply.response.status_code >= 500:
            call.failed()
        elif not reply.response.is_success:
            call.succeeded()
        return reply

    def problem(self, error: Exception) -> UpstreamFailed | UpstreamLate:
        """What went wrong between us, as the caller is told."""
        import httpx2

        if isinstance(error, httpx2.TimeoutException) and not isinstance(error, httpx2.ConnectTimeout):
            return self.late(type(error).__name__)
        log.warning("upstream failed", upstream=self.name, error=type(error).__name__)
        return UpstreamFailed(f"{self.name} does not answer.")

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

    def late(self, why: str) -> UpstreamLate:
        log.warning("upstream late", upstream=self.name, why=why)
        return UpstreamLate(f"{self.name} did not answer in time.")


def broken() -> tuple[type[Exception], ...]:
    """What httpx2 raises for a connection that fails, before an answer or within one."""
    import httpx2

    return httpx2.TransportError, httpx2.StreamError


def _never_sent() -> tuple[type[Exception], ...]:
    import httpx2

    return httpx2.ConnectError, httpx2.ConnectTimeout
