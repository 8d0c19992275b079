"""POST /api/jobs/{id}/retry."""

from uuid import UUID

from app.core.errors import Conflict, NotFound
from app.core.problems import problems
from app.deps import Db, Owner
from app.schemas.jobs import Job
from app.services import jobs
from filerouter import RouteConfig, operation

config = RouteConfig(responses=problems(NotFound, Conflict))


@operation(status_code=202)
async def post(id: UUID, db: Db, owner: Owner) -> Job:
    """Begin a dead or cancelled job anew."""
    return Job.model_validate(await jobs.retry(db, owner, id))
