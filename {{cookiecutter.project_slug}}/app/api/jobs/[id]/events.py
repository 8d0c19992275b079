"""GET /api/jobs/{id}/events: a job as it changes, as server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.core.errors import NotFound
from app.core.problems import problems
from app.deps import NewSessions, Owner
from app.schemas.jobs import Job
from app.services import jobs
from filerouter import RouteConfig, operation

config = RouteConfig(responses=problems(NotFound))


async def _found(id: UUID, sessions: NewSessions, owner: Owner) -> None:
    """404 before the stream begins; no transaction stays open behind it."""
    async with sessions() as db:
        await jobs.find(db, owner, id)


Seen = Annotated[str, Header(pattern=r"^[0-9]{1,9}$")]


@operation(response_class=EventSourceResponse, dependencies=[Depends(_found)])
async def get(
    id: UUID, owner: Owner, sessions: NewSessions, last_event_id: Seen = "0"
) -> AsyncIterator[ServerSentEvent]:
    """Follow a job: its changes since `Last-Event-ID`, until it has ended."""
    async for row in jobs.follow(sessions, owner, id, int(last_event_id)):
        yield ServerSentEvent(data=Job.model_validate(row), event=row.state, id=str(row.revision))
