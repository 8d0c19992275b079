"""/api/jobs?state=running&kind=build_export: your heavy work."""

from typing import Annotated

from fastapi import Query

from app.deps import Db, Owner
from app.schemas.jobs import JobList, JobQuery
from app.services import jobs


async def get(query: Annotated[JobQuery, Query()], db: Db, owner: Owner) -> JobList:
    """List your jobs, newest first."""
    return await jobs.browse(db, owner, query)
