"""GET /api/jobs/{id}/events: the changes of a job as server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, HTTPException
from fastapi.sse import EventSourceResponse, ServerSentEvent
from filerouter import RouteConfig, operation
from saaskit.errors import NotFound, TooManyRequests
from saaskit.jobs.owner import JobStatus, can_follow, follow
from saaskit.web import problems

from app.accounts import sessions
from app.deps import CurrentUser, NewTransaction

config = RouteConfig(responses=problems(NotFound, TooManyRequests))
LastEventId = Annotated[str, Header(pattern=r"^[0-9]{1,9}$")]
FINISHED = {204: {"description": "The job has finished, and the client has its last event"}}


async def _check(
    id: UUID, user: CurrentUser, new_transaction: NewTransaction, last_event_id: LastEventId = "0"
) -> None:
    """Refuse before the stream begins. After 204 a browser does not reconnect."""
    if not await can_follow(new_transaction, str(user.id), id, int(last_event_id)):
        raise HTTPException(204)


@operation(response_class=EventSourceResponse, dependencies=[Depends(_check)], responses=FINISHED)
async def get(
    id: UUID, user: CurrentUser, new_transaction: NewTransaction, last_event_id: LastEventId = "0"
) -> AsyncIterator[ServerSentEvent]:
    """Follow a job: its changes since `Last-Event-ID`, until it has finished."""
    changes = follow(
        new_transaction,
        str(user.id),
        id,
        int(last_event_id),
        is_active=lambda db: sessions.is_active(db, user),
    )
    async for job in changes:
        yield ServerSentEvent(data=JobStatus.model_validate(job), event=job.state, id=str(job.revision))
