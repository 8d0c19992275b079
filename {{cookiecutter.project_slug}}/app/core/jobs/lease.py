"""A lease: the right to do a job, renewed by a thread of its own while the handler works.

Whatever the handler does, be it a computation that never awaits, the lease lives on; when the
whole process dies it ends by itself, and the relay gives the job to somebody else.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.core.db import Sessions
from app.core.errors import DatabaseUnavailable
from app.core.jobs import states
from app.core.jobs.errors import TimeLimitExceeded
from app.core.jobs.failure import fail

log = structlog.get_logger("app.jobs")
AWAY = (SQLAlchemyError, DatabaseUnavailable, OSError, TimeoutError)
"""What a query raises when the database is not there."""
GRACE = 5
"""Seconds after its time limit in which a handler may end by itself."""
SPACING = 0.25
"""Seconds between two writes of progress."""

Reason = Literal["", "cancelled", "time limit", "lost"]


class Lease:
    """One claimed job, in the loop of the leases' thread; `show` and `stopped` are for the handler's.

    `expendable`: this process may be killed to end a handler that does not end by itself.
    """

    def __init__(
        self,
        sessions: Sessions,
        claimed: states.Claim,
        seconds: float,
        time_limit: float,
        *,
        expendable: bool = False,
    ) -> None:
        self.sessions, self.claimed = sessions, claimed
        self.seconds, self.time_limit = seconds, time_limit
        self.progress, self.note = 0, ""
        self.stopped: Reason = ""
        self.interrupt: Callable[[], object] = lambda: None
        self.expendable = expendable
        self._loop, self._changed = asyncio.get_running_loop(), asyncio.Event()
        self._waking = False

    def show(self, progress: int, note: str) -> None:
        """Have this written soon. From any thread."""
        self.progress, self.note = progress, note
        if not self._waking:
            self._waking = True
            self._loop.call_soon_threadsafe(self._changed.set)

    async def keep(self) -> None:
        """Renew until cancelled, or until the handler has to stop."""
        deadline = time.monotonic() + self.time_limit
        until = time.monotonic() + self.seconds
        while not self.stopped:
            wait = min(self.seconds / 6, deadline - time.monotonic())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), max(wait, 0))
            self._changed.clear()
            self._waking = False
            if time.monotonic() >= deadline:
                await self._overdue()
                return
            began = time.monotonic()
            try:
                async with asyncio.timeout(max(until - began, 0.1)), self.sessions.begin() as db:
                    stop = await states.renew(db, self.claimed, self.seconds, self.progress, self.note)
            except AWAY:
                if time.monotonic() >= until:
                    self._stop("lost")
                await asyncio.sleep(SPACING)
                continue
            until = began + self.seconds
            if stop is not False:
                self._stop("lost" if stop is None else "cancelled")
            await asyncio.sleep(SPACING)

    def _stop(self, reason: Reason) -> None:
        self.stopped = reason
        self.interrupt()

    async def _overdue(self) -> None:
        """Ask the handler to end. If it does not, record that, and end the process under it if we may."""
        self._stop("time limit")
        await asyncio.sleep(min(GRACE, self.seconds / 2))
        log.error("job does not end", job=str(self.claimed.id), kind=self.claimed.kind)
        async with self.sessions.begin() as db:
            await fail(db, self.claimed, TimeLimitExceeded(f"Not done after {self.time_limit:g} s."))
        if self.expendable:
            os.kill(os.getpid(), signal.SIGKILL)
