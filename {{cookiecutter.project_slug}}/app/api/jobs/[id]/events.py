"""GET /api/jobs/{id}/events: a job as it changes, as server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, HTTPException
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.core.errors import NotFound, TooManyRequests
from app.core.problems import problems
from app.deps import CurrentUser, NewSessions
from app.schemas.jobs import Job
from app.services import jobs
from filerouter import RouteConfig, operation

config = RouteConfig(responses=problems(NotFound, TooManyRequests))


Seen = Annotated[str, Header(pattern=r"^[0-9]{1,9}$")]


async def _may(id: UUID, sessions: NewSessions, user: CurrentUser, last_event_id: Seen = "0") -> None:
    """Refused before the stream begins; no transaction stays open behind it."""
    if not await jobs.may_follow(sessions, user, id, int(last_event_id)):
        raise HTTPException(204)  # a browser that comes back for more comes no more


OVER = {204: {"description": "The job has ended, and you know how"}}


@operation(response_class=EventSourceResponse, dependencies=[Depends(_may)], responses=OVER)
async def get(
    id: UUID, user: CurrentUser, sessions: NewSessions, last_event_id: Seen = "0"
) -> AsyncIterator[ServerSentEvent]:
    """Follow a job: its changes since `Last-Event-ID`, until it has ended."""
    async for row in jobs.follow(sessions, user, id, int(last_event_id)):
        yield ServerSentEvent(data=Job.model_validate(row), event=row.state, id=str(row.revision))
