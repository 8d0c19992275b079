"""A user's view of their jobs, for API routes: list, read, cancel, retry, follow.

A job of another owner, or without one, is NotFound. Arguments, tracebacks and worker names are not exposed.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header, Response
from pydantic import Field, StringConstraints, field_validator
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from saaskit.db import Sessionmaker
from saaskit.errors import Conflict, NotFound, TooManyRequests
from saaskit.jobs import queries
from saaskit.jobs.tables import FINISHED, JobRecord, JobState
from saaskit.schema import Output, Query

__all__ = [
    "IdempotencyKey",
    "JobList",
    "JobQuery",
    "JobState",
    "JobStatus",
    "accepted_response",
    "can_follow",
    "cancel_for_owner",
    "follow",
    "get_for_owner",
    "list_for_owner",
    "retry_for_owner",
]

POLL_SECONDS = 0.5
"""How often `follow` reads the job."""
MAX_FOLLOWED = 10
"""Jobs that one owner may follow at the same time, per process. Each one is polled."""
_followed: Counter[str] = Counter()

IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=r"^[!-~]{1,255}$",
        description="A unique key for this request. Repeating it with the same body returns the same job.",
    ),
]


class JobStatus(Output):
    """A background job and its progress. A `dead` job failed in its last attempt."""

    id: UUID
    kind: str
    state: JobState
    progress: Annotated[int, Field(ge=0, le=100)]
    note: str
    attempts: int
    max_attempts: int
    cancel_requested: bool
    result: Any = None
    error: str | None = None
    """Why the last attempt failed."""
    run_after: datetime
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @field_validator("error", mode="before")
    @classmethod
    def _public_message(cls, value: Any) -> Any:
        """Show only messages that are meant for users; the log has the others."""
        if isinstance(value, dict):
            return value["message"] if value.get("public") else "Internal error."
        return value


class JobQuery(Query):
    """Filters of the job list: `?state=running&kind=build_export&cursor=…`."""

    state: JobState | None = None
    kind: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,60}$")] | None = None
    cursor: UUID | None = None
    """`next` of the previous page."""
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class JobList(Output):
    """Jobs, newest first. `next` is the cursor of the next page; null on the last page."""

    items: list[JobStatus]
    next: UUID | None


def accepted_response(response: Response, job: JobRecord, location: str) -> None:
    """Add the headers of a 202 response: the job's URL and when to read it (RFC 9110 §15.3.3, §10.2.3)."""
    response.headers["Location"] = location
    response.headers["Retry-After"] = "1"


async def list_for_owner(db: AsyncSession, owner: str, query: JobQuery) -> JobList:
    """Return a page of the owner's jobs, newest first."""
    statement = select(JobRecord).where(JobRecord.owner == owner)
    if query.state:
        statement = statement.where(JobRecord.state == query.state)
    if query.kind:
        statement = statement.where(JobRecord.kind == query.kind)
    if query.cursor:
        statement = statement.where(JobRecord.id < query.cursor)
    rows = (await db.scalars(statement.order_by(JobRecord.id.desc()).limit(query.limit + 1))).all()
    items = [JobStatus.model_validate(row) for row in rows[: query.limit]]
    return JobList(items=items, next=items[-1].id if len(rows) > query.limit else None)


async def get_for_owner(db: AsyncSession, owner: str, job_id: UUID) -> JobRecord:
    """Return the job; raises NotFound."""
    statement = select(JobRecord).where(JobRecord.id == job_id, JobRecord.owner == owner)
    row = await db.scalar(statement.execution_options(populate_existing=True))
    if row is None:
        raise NotFound("Job not found.")
    return row


async def cancel_for_owner(db: AsyncSession, owner: str, job_id: UUID) -> JobRecord:
    """Cancel a queued job, or ask a running one to stop. Raises Conflict if it has finished."""
    row = await get_for_owner(db, owner, job_id)
    if not await queries.cancel(db, job_id):
        raise Conflict(f"This job has already finished. Its state is {row.state}.")
    return await get_for_owner(db, owner, job_id)


async def retry_for_owner(db: AsyncSession, owner: str, job_id: UUID) -> JobRecord:
    """Queue a dead or cancelled job again. Raises Conflict in other states, or if it would not be unique."""
    row = await get_for_owner(db, owner, job_id)
    if not await queries.retry(db, job_id):
        if row.state in ("dead", "cancelled"):
            raise Conflict("Another job with the same arguments is active. Wait until it has finished.")
        raise Conflict(f"This job is {row.state}. Only dead and cancelled jobs can be retried.")
    return await get_for_owner(db, owner, job_id)


async def can_follow(sessionmaker: Sessionmaker, owner: str, job_id: UUID, revision: int) -> bool:
    """Return whether the job can still change after `revision`, or already has.

    Raises NotFound, and TooManyRequests if the owner already follows MAX_FOLLOWED jobs in this process.
    """
    async with sessionmaker() as db:
        row = await get_for_owner(db, owner, job_id)
    if _followed[owner] >= MAX_FOLLOWED:
        raise TooManyRequests(f"You already follow {MAX_FOLLOWED} jobs.", seconds=5)
    return row.state not in FINISHED or row.revision != revision


async def follow(
    sessionmaker: Sessionmaker,
    owner: str,
    job_id: UUID,
    revision: int,
    is_active: Callable[[AsyncSession], Awaitable[bool]],
) -> AsyncIterator[JobRecord]:
    """Yield the job after each change since `revision`, until it has finished.

    Ends early when `is_active` returns False, for instance because the user's session was revoked. Holds
    no database connection between two reads.
    """
    _followed[owner] += 1
    try:
        while True:
            async with sessionmaker() as db:
                row = await get_for_owner(db, owner, job_id) if await is_active(db) else None
            if row and row.revision != revision:
                revision = row.revision
                yield row
            if row is None or row.state in FINISHED:
                return
            await asyncio.sleep(POLL_SECONDS)
    finally:
        _followed[owner] -= 1
        if not _followed[owner]:
            del _followed[owner]
