"""/api/jobs?state=running&kind=build_export: your jobs."""

from typing import Annotated

from fastapi import Query
from saaskit.jobs.owner import JobList, JobQuery, list_for_owner

from app.deps import CurrentUser, Db


async def get(query: Annotated[JobQuery, Query()], db: Db, user: CurrentUser) -> JobList:
    """List your jobs, newest first."""
    return await list_for_owner(db, str(user.id), query)
