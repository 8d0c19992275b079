"""POST /api/jobs/{id}/retry: retry a job."""

from uuid import UUID

from filerouter import RouteConfig, operation
from saaskit.errors import Conflict, NotFound
from saaskit.jobs.owner import JobStatus, retry_for_owner
from saaskit.web import problems

from app.deps import CurrentUser, Db

config = RouteConfig(responses=problems(NotFound, Conflict))


@operation(status_code=202)
async def post(id: UUID, db: Db, user: CurrentUser) -> JobStatus:
    """Retry a failed or cancelled job."""
    return JobStatus.model_validate(await retry_for_owner(db, str(user.id), id))
