"""GET /api/jobs/{id}/events: a job as it changes, as server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.core.errors import NotFound, TooManyRequests
from app.core.problems import problems
from app.deps import CurrentUser, NewSessions
from app.schemas.jobs import Job
from app.services import jobs
from filerouter import RouteConfig, operation

config = RouteConfig(responses=problems(NotFound, TooManyRequests))


async def _may(id: UUID, sessions: NewSessions, user: CurrentUser) -> None:
    """Refused before the stream begins; no transaction stays open behind it."""
    await jobs.may_follow(sessions, user, id)


Seen = Annotated[str, Header(pattern=r"^[0-9]{1,9}$")]


@operation(response_class=EventSourceResponse, dependencies=[Depends(_may)])
async def get(
    id: UUID, user: CurrentUser, sessions: NewSessions, last_event_id: Seen = "0"
) -> AsyncIterator[ServerSentEvent]:
    """Follow a job: its changes since `Last-Event-ID`, until it has ended."""
    async for row in jobs.follow(sessions, user, id, int(last_event_id)):
        yield ServerSentEvent(data=Job.model_validate(row), event=row.state, id=str(row.revision))
