"""The lease on a running job, renewed by a separate thread while the handler works.

A handler that computes without ever awaiting cannot block the renewal. When the process dies, the lease
expires and the relay queues the job again.
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

from saaskit.db import Sessionmaker
from saaskit.errors import DatabaseUnavailable
from saaskit.jobs import queries
from saaskit.jobs.failures import TimeLimitExceeded, handle_failure

log = structlog.get_logger(__name__)
DATABASE_ERRORS = (SQLAlchemyError, DatabaseUnavailable, OSError, TimeoutError)
"""Errors of a query while the database is unavailable."""
GRACE_SECONDS = 5
"""How long a handler may take to end after its time limit."""
PROGRESS_SECONDS = 0.25
"""Shortest time between two writes of progress."""

StopReason = Literal["", "cancelled", "time limit", "lost"]


class Lease:
    """The lease on one claimed job. It runs in the event loop of the lease thread.

    `set_progress` and `stop_reason` are for the handler's thread. With `may_kill`, a handler that does not
    end after its time limit is ended by killing this process.
    """

    def __init__(
        self,
        sessionmaker: Sessionmaker,
        claimed: queries.Claim,
        seconds: float,
        time_limit: float,
        *,
        may_kill: bool = False,
    ) -> None:
        self.claimed, self.seconds, self.time_limit = claimed, seconds, time_limit
        self.stop_reason: StopReason = ""
        self.interrupt: Callable[[], object] = lambda: None
        self._sessionmaker, self._may_kill = sessionmaker, may_kill
        self._progress, self._note = 0, ""
        self._loop, self._changed = asyncio.get_running_loop(), asyncio.Event()
        self._wake_pending = False

    def set_progress(self, progress: int, note: str) -> None:
        """Store the progress with the next renewal, which follows soon. Thread-safe."""
        self._progress, self._note = progress, note
        if not self._wake_pending:
            self._wake_pending = True
            self._loop.call_soon_threadsafe(self._changed.set)

    async def keep(self) -> None:
        """Renew the lease until this task is cancelled or the handler has to stop."""
        deadline = time.monotonic() + self.time_limit
        expires = time.monotonic() + self.seconds
        while not self.stop_reason:
            wait = min(self.seconds / 6, deadline - time.monotonic())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), max(wait, 0))
            self._changed.clear()
            self._wake_pending = False
            if time.monotonic() >= deadline:
                await self._enforce_time_limit()
                return
            started = time.monotonic()
            try:
                async with asyncio.timeout(max(expires - started, 0.1)), self._sessionmaker.begin() as db:
                    cancelled = await queries.renew(
                        db, self.claimed, self.seconds, self._progress, self._note
                    )
            except DATABASE_ERRORS:
                if time.monotonic() >= expires:
                    self._stop("lost")
            else:
                expires = started + self.seconds
                if cancelled is None:
                    self._stop("lost")
                elif cancelled:
                    self._stop("cancelled")
            await asyncio.sleep(PROGRESS_SECONDS)

    def _stop(self, reason: StopReason) -> None:
        self.stop_reason = reason
        self.interrupt()

    async def _enforce_time_limit(self) -> None:
        """Ask the handler to end. If it does not, record the failure and kill the process if allowed."""
        self._stop("time limit")
        await asyncio.sleep(min(GRACE_SECONDS, self.seconds / 2))
        log.error("job ignores its time limit", job=str(self.claimed.id), kind=self.claimed.kind)
        async with self._sessionmaker.begin() as db:
            await handle_failure(db, self.claimed, TimeLimitExceeded(self.time_limit))
        if self._may_kill:
            os.kill(os.getpid(), signal.SIGKILL)
