"""What a handler is given beside its job."""

import asyncio
import math
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.jobs.enqueue import enqueue
from app.core.jobs.errors import Stopped, clean
from app.core.jobs.kinds import Job
from app.core.jobs.lease import Lease
from app.core.jobs.tables import JobRow

Result = TypeVar("Result")


class Run:
    """One attempt of a job.

    `db` is its transaction: what is written there is committed together with the job's success, or
    not at all. Effects elsewhere may happen twice: send `id` along as their idempotency key.
    """

    def __init__(self, lease: Lease, db: AsyncSession, runner: asyncio.Runner) -> None:
        claimed = lease.claimed
        self.id: UUID = claimed.id
        self.owner: str | None = claimed.owner
        self.attempt: int = claimed.attempts
        self.db = db
        self._lease, self._runner = lease, runner

    def progress(self, percent: float, note: str = "") -> None:
        """Show how far the work is (0 to 100), and end here if the job was cancelled meanwhile.

        Costs microseconds: it is written by another thread, at most four times a second.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"progress is 0 to 100, not {percent}")
        self._lease.show(math.floor(percent), clean(note, 200))
        if self._lease.stopped:
            raise Stopped

    async def enqueue(self, job: Job, **options: Any) -> JobRow:
        """Ask for a follow-up: it exists if and only if this job succeeds, and has the same owner."""
        return await enqueue(self.db, job, owner=self.owner, **options)

    def wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run async code from a `def` handler, as in `run.wait(orders.of_user(run.db, 3))`."""
        return self._runner.run(work)
