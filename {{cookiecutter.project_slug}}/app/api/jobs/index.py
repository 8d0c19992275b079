"""/api/jobs?state=running&kind=build_export: your jobs."""

from typing import Annotated

from fastapi import Query
from saaskit.jobs.owner import JobList, JobQuery, list_for_owner

from app.deps import Db, JobOwner


async def get(query: Annotated[JobQuery, Query()], db: Db, owner: JobOwner) -> JobList:
    """List your jobs, newest first."""
    return await list_for_owner(db, owner, query)
