"""/api/jobs/{id}: one job. Ask again with `If-None-Match`, or follow its events."""

from uuid import UUID

from app.core.conditional import UNCHANGED, Conditional
from app.core.errors import Conflict, NotFound
from app.core.problems import problems
from app.deps import Db, Owner
from app.schemas.jobs import Job
from app.services import jobs
from filerouter import RouteConfig, operation

config = RouteConfig(responses=problems(NotFound))


@operation(responses=UNCHANGED)
async def get(id: UUID, db: Db, owner: Owner, http: Conditional) -> Job:
    """Read a job."""
    return http.answer(Job.model_validate(await jobs.find(db, owner, id)))


@operation(status_code=202, responses=problems(Conflict))
async def delete(id: UUID, db: Db, owner: Owner) -> Job:
    """Cancel a job: one that runs is asked to stop, and says so when it has."""
    return Job.model_validate(await jobs.cancel(db, owner, id))
