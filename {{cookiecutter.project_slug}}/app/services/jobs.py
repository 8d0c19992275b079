"""Jobs, as their owner may see and move them: for anybody else they do not exist."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db import Sessions
from app.core.errors import Conflict, NotFound, TooManyRequests
from app.core.jobs import states
from app.core.jobs.tables import FINISHED
from app.models.jobs import JobRow as Row
from app.schemas.jobs import Job, JobList, JobQuery
from app.services.sessions import SignedIn, alive

LOOK_SECONDS = 0.5
"""Between two looks of somebody who follows a job."""
MOST_FOLLOWED = 10
"""Jobs that one user follows at the same time, in each process: every one of them is asked for again."""
_followed: Counter[int] = Counter()


async def browse(db: AsyncSession, owner: str, query: JobQuery) -> JobList:
    """The owner's jobs, newest first."""
    rows = select(Row).where(Row.owner == owner).order_by(Row.id.desc()).limit(query.limit + 1)
    if query.state:
        rows = rows.where(Row.state == query.state)
    if query.kind:
        rows = rows.where(Row.kind == query.kind)
    if query.cursor:
        rows = rows.where(Row.id < query.cursor)
    found = [Job.model_validate(row) for row in await db.scalars(rows)]
    items = found[: query.limit]
    return JobList(items=items, next=items[-1].id if len(found) > query.limit else None)


async def find(db: AsyncSession, owner: str, id: UUID) -> Row:
    """The job, or NotFound."""
    mine = select(Row).where(Row.id == id, Row.owner == owner).execution_options(populate_existing=True)
    row = await db.scalar(mine)
    if row is None:
        raise NotFound("There is no such job.")
    return row


async def cancel(db: AsyncSession, owner: str, id: UUID) -> Row:
    """Cancel it, or ask it to stop; Conflict if it has ended."""
    row = await find(db, owner, id)
    if not await states.cancel(db, id):
        raise Conflict(f"This job is {row.state} already.")
    return await find(db, owner, id)


async def retry(db: AsyncSession, owner: str, id: UUID) -> Row:
    """Begin it anew; Conflict unless it is dead or cancelled, and the only one if there may be one."""
    row = await find(db, owner, id)
    if not await states.retry(db, id):
        if row.state in ("dead", "cancelled"):
            raise Conflict("Another job with the same arguments is under way. Wait until it has ended.")
        raise Conflict(f"This job is {row.state}. Only dead and cancelled ones can be tried again.")
    return await find(db, owner, id)


async def may_follow(sessions: Sessions, user: SignedIn, id: UUID, seen: int) -> bool:
    """Whether something can still come behind revision `seen`.

    NotFound, or TooManyRequests for who follows MOST_FOLLOWED jobs in this process already.
    """
    async with sessions() as db:
        row = await find(db, str(user.id), id)
    if _followed[user.id] >= MOST_FOLLOWED:
        raise TooManyRequests(f"You follow {MOST_FOLLOWED} jobs already.", seconds=5)
    return row.state not in FINISHED or row.revision != seen


async def follow(sessions: Sessions, user: SignedIn, id: UUID, seen: int) -> AsyncIterator[Row]:
    """The job after each change behind revision `seen`, until it or the user's session has ended.

    Holds no connection between two looks.
    """
    _followed[user.id] += 1
    try:
        while True:
            async with sessions() as db:
                row = await find(db, str(user.id), id) if await alive(db, user) else None
            if row and row.revision != seen:
                seen = row.revision
                yield row
            if row is None or row.state in FINISHED:
                return
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        _followed[user.id] -= 1
        if not _followed[user.id]:
            del _followed[user.id]
