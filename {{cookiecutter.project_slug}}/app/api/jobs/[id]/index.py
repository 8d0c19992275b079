"""/api/jobs/{id}: one job. Poll with `If-None-Match`, or follow its events."""

from uuid import UUID

from filerouter import RouteConfig, operation
from saaskit.errors import Conflict, NotFound
from saaskit.jobs.owner import JobStatus, cancel_for_owner, get_for_owner
from saaskit.web import NOT_MODIFIED, Conditional, problems

from app.deps import CurrentUser, Db

config = RouteConfig(responses=problems(NotFound))


@operation(responses=NOT_MODIFIED)
async def get(id: UUID, db: Db, user: CurrentUser, conditional: Conditional) -> JobStatus:
    """Get a job."""
    return conditional.respond(JobStatus.model_validate(await get_for_owner(db, str(user.id), id)))


@operation(status_code=202, responses=problems(Conflict))
async def delete(id: UUID, db: Db, user: CurrentUser) -> JobStatus:
    """Cancel a job. A running job is asked to stop and is cancelled when it has."""
    return JobStatus.model_validate(await cancel_for_owner(db, str(user.id), id))
