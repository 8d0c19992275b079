"""A user's view of their jobs: list, read, cancel, retry."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import Response
from packages.saaskit.jobs.kinds import Doomed, Single, Work
from saaskit.errors import Conflict, NotFound
from saaskit.jobs import Job, JobRecord, PermanentFailure, enqueue, queries
from saaskit.jobs.failures import describe_error
from saaskit.jobs.owner import (
    JobQuery,
    JobStatus,
    accepted_response,
    cancel_for_owner,
    get_for_owner,
    list_for_owner,
    retry_for_owner,
)
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession


async def add(db: AsyncSession, owner: str | None, job: Job | None = None, **values: Any) -> UUID:
    """Create a job in any state."""
    row = await enqueue(db, job or Work(), owner=owner)
    if values:
        await db.execute(update(JobRecord).where(JobRecord.id == row.id).values(**values))
    return row.id


async def test_the_list_is_filtered_and_paged_by_a_cursor(db: AsyncSession):
    ids = [await add(db, "ada") for _ in range(5)]
    await add(db, "ada", state="dead")
    await add(db, "ada", Doomed())
    await add(db, "mallory")
    pages, cursor = list[list[UUID]](), None
    while cursor or not pages:
        query = JobQuery(state="queued", kind="work", cursor=cursor, limit=2)
        page = await list_for_owner(db, "ada", query)
        pages.append([item.id for item in page.items])
        cursor = page.next
    assert pages == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]]
    assert len((await list_for_owner(db, "ada", JobQuery())).items) == 7


@pytest.mark.parametrize("query", [{"limit": 0}, {"cursor": "x"}, {"state": "lost"}, {"kind": "'--"}, {"sort": "id"}])
def test_an_invalid_query_is_rejected(query: dict[str, Any]):
    with pytest.raises(ValueError, match="validation error"):
        JobQuery(**query)


@pytest.mark.parametrize("owner", ["mallory", None])
async def test_jobs_of_others_and_of_the_system_are_not_found(db: AsyncSession, owner: str | None):
    job = await add(db, owner)
    for function in (get_for_owner, cancel_for_owner, retry_for_owner):
        with pytest.raises(NotFound):
            await function(db, "ada", job)
    with pytest.raises(NotFound):
        await get_for_owner(db, "ada", uuid4())
    row = await db.get(JobRecord, job, populate_existing=True)
    assert row
    assert (row.state, row.cancel_requested) == ("queued", False)


async def test_a_queued_job_is_cancelled_at_once_and_only_once(db: AsyncSession):
    job = await add(db, "ada")
    assert (await cancel_for_owner(db, "ada", job)).state == "cancelled"
    assert await queries.claim(db, job, "worker", 30) is None
    with pytest.raises(Conflict, match="already finished"):
        await cancel_for_owner(db, "ada", job)


async def test_a_running_job_is_asked_to_stop(db: AsyncSession):
    job = await add(db, "ada")
    claimed = await queries.claim(db, job, "worker", 30)
    assert claimed
    row = await cancel_for_owner(db, "ada", job)
    assert (row.state, row.cancel_requested) == ("running", True)
    assert await queries.renew(db, claimed, 30, 0, "") is True


@pytest.mark.parametrize("state", ["dead", "cancelled"])
async def test_a_dead_or_cancelled_job_can_be_retried(db: AsyncSession, state: str):
    job = await add(db, "ada", state=state, attempts=5, cancel_requested=state == "cancelled")
    row = await retry_for_owner(db, "ada", job)
    assert (row.state, row.attempts, row.cancel_requested) == ("queued", 0, False)
    assert await queries.claim(db, job, "worker", 30)


@pytest.mark.parametrize("state", ["queued", "running", "succeeded"])
async def test_a_job_in_another_state_cannot_be_retried(db: AsyncSession, state: str):
    job = await add(db, "ada", state=state)
    with pytest.raises(Conflict, match=state):
        await retry_for_owner(db, "ada", job)


async def test_a_unique_job_can_be_retried_once_the_other_has_finished(db: AsyncSession):
    job = await add(db, "ada", Single(), state="dead")
    other = await add(db, "ada", Single())
    with pytest.raises(Conflict, match="Another job"):
        await retry_for_owner(db, "ada", job)
    await cancel_for_owner(db, "ada", other)
    assert (await retry_for_owner(db, "ada", job)).state == "queued"


@pytest.mark.parametrize(
    ("error", "shown"),
    [(PermanentFailure("The file is empty."), "The file is empty."), (RuntimeError("hunter2"), "Internal error.")],
)
async def test_only_messages_for_users_are_shown(db: AsyncSession, error: Exception, shown: str):
    job = await add(db, "ada", state="dead", error=describe_error(error))
    status = JobStatus.model_validate(await get_for_owner(db, "ada", job))
    assert status.error == shown
    assert not {"payload", "worker", "owner", "lease_token"} & set(status.model_dump())


async def test_the_accepted_response_names_the_url_of_the_job(db: AsyncSession):
    response = Response(status_code=202)
    job = await add(db, "ada")
    accepted_response(response, await get_for_owner(db, "ada", job), f"/api/jobs/{job}")
    assert (response.headers["location"], response.headers["retry-after"]) == (f"/api/jobs/{job}", "1")
