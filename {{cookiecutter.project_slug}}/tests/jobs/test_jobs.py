"""/api/jobs: the routes. The platform's tests cover the jobs themselves."""

import json

import pytest
from httpx2 import AsyncClient
from saaskit.jobs import Job, JobRecord, enqueue
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import sessions
from app.accounts.models import User


class Knit(Job):
    """A job without a handler: these tests change its state directly."""

    rows: int = 1


async def add_job(db: AsyncSession, owner: User | str | None, rows: int = 1, **values) -> JobRecord:
    """Create and commit a job in any state."""
    row = await enqueue(db, Knit(rows=rows), owner=str(owner.id) if isinstance(owner, User) else owner)
    if values:
        await db.execute(update(JobRecord).where(JobRecord.id == row.id).values(**values))
    await db.commit()
    await db.refresh(row)
    return row


async def test_a_job_is_shown_without_its_arguments(
    signed_in_client: AsyncClient, user: User, db: AsyncSession
):
    row = await add_job(db, user, rows=7)
    response = await signed_in_client.get(f"/api/jobs/{row.id}")
    assert response.status_code == 200
    shown = response.json()
    assert (shown["kind"], shown["state"], shown["progress"]) == ("knit", "queued", 0)
    assert not {"payload", "worker", "owner", "lease_token"} & set(shown)


async def test_an_unchanged_job_is_304(signed_in_client: AsyncClient, user: User, db: AsyncSession):
    row = await add_job(db, user)
    tag = (await signed_in_client.get(f"/api/jobs/{row.id}")).headers["etag"]
    same = await signed_in_client.get(f"/api/jobs/{row.id}", headers={"if-none-match": f'"x", W/{tag}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    await db.execute(update(JobRecord).values(progress=40, note="sleeves", revision=2))
    await db.commit()
    changed = await signed_in_client.get(f"/api/jobs/{row.id}", headers={"if-none-match": tag})
    assert (changed.json()["progress"], changed.json()["note"]) == (40, "sleeves")


async def test_the_list_is_filtered_and_paged(signed_in_client: AsyncClient, user: User, db: AsyncSession):
    rows = [await add_job(db, user, rows=number) for number in range(5)]
    await add_job(db, user, state="dead")
    filters = {"kind": "knit", "state": "queued", "limit": "2"}
    ids, cursor, pages = [], None, 0
    while cursor or not pages:
        params = filters | ({"cursor": cursor} if cursor else {})
        page = (await signed_in_client.get("/api/jobs", params=params)).json()
        ids += [item["id"] for item in page["items"]]
        cursor, pages = page["next"], pages + 1
    assert ids == [str(row.id) for row in reversed(rows)]
    assert pages == 3


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1e9", "cursor=x", "state=lost", "kind='--", "sort=id", "cursor=%00"]
)
async def test_an_invalid_query_is_422(signed_in_client: AsyncClient, query: str):
    assert (await signed_in_client.get(f"/api/jobs?{query}")).status_code == 422


@pytest.mark.parametrize("owner", ["mallory", None])
async def test_other_owners_jobs_are_404(
    signed_in_client: AsyncClient, user: User, db: AsyncSession, owner: str | None
):
    """Jobs of another user, and jobs of the system, which have no owner."""
    row = await add_job(db, owner)
    path = f"/api/jobs/{row.id}"
    for method, url in (
        ("GET", path),
        ("DELETE", path),
        ("POST", f"{path}/retry"),
        ("GET", f"{path}/events"),
    ):
        assert (await signed_in_client.request(method, url)).status_code == 404, url
    assert str(row.id) not in (await signed_in_client.get("/api/jobs")).text
    await db.refresh(row)
    assert row.state == "queued"


async def test_a_queued_job_is_cancelled_at_once(signed_in_client: AsyncClient, user: User, db: AsyncSession):
    row = await add_job(db, user)
    response = await signed_in_client.delete(f"/api/jobs/{row.id}")
    assert (response.status_code, response.json()["state"]) == (202, "cancelled")
    assert (await signed_in_client.delete(f"/api/jobs/{row.id}")).status_code == 409


async def test_a_running_job_is_asked_to_stop(signed_in_client: AsyncClient, user: User, db: AsyncSession):
    row = await add_job(db, user, state="running")
    response = await signed_in_client.delete(f"/api/jobs/{row.id}")
    assert (response.json()["state"], response.json()["cancel_requested"]) == ("running", True)


@pytest.mark.parametrize(
    ("job_state", "status"),
    [("dead", 202), ("cancelled", 202), ("queued", 409), ("running", 409), ("succeeded", 409)],
)
async def test_dead_and_cancelled_jobs_can_be_retried(
    signed_in_client: AsyncClient, user: User, db: AsyncSession, job_state: str, status: int
):
    row = await add_job(db, user, state=job_state, attempts=5)
    response = await signed_in_client.post(f"/api/jobs/{row.id}/retry")
    assert response.status_code == status
    if status == 202:
        assert (response.json()["state"], response.json()["attempts"]) == ("queued", 0)


def events(text: str) -> list[dict[str, str]]:
    """The events of a stream, field by field."""
    parts = [part for part in text.split("\n\n") if part and not part.startswith(":")]
    return [dict(line.split(": ", 1) for line in part.splitlines()) for part in parts]


async def test_the_event_stream_ends_with_the_job(
    signed_in_client: AsyncClient, user: User, db: AsyncSession
):
    row = await add_job(db, user, state="succeeded", progress=100, result={"file": "/x"}, revision=4)
    response = await signed_in_client.get(f"/api/jobs/{row.id}/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    (event,) = events(response.text)
    assert (event["event"], event["id"]) == ("succeeded", "4")
    assert json.loads(event["data"])["result"] == {"file": "/x"}


async def test_the_event_stream_continues_after_the_last_event_id(
    signed_in_client: AsyncClient, user: User, db: AsyncSession
):
    row = await add_job(db, user, state="succeeded", revision=4)
    url = f"/api/jobs/{row.id}/events"
    missed = await signed_in_client.get(url, headers={"last-event-id": "3"})
    assert [event["id"] for event in events(missed.text)] == ["4"]
    finished = await signed_in_client.get(url, headers={"last-event-id": "4"})
    assert (finished.status_code, finished.content) == (204, b"")  # an EventSource does not reconnect


async def test_the_event_stream_ends_with_the_session(
    signed_in_client: AsyncClient, user: User, db: AsyncSession
):
    row = await add_job(db, user)

    async def revoke(*_: object) -> bool:
        await sessions.end_all(db, user.id)
        await db.commit()
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "is_active", revoke)
        response = await signed_in_client.get(f"/api/jobs/{row.id}/events")
    assert (response.status_code, events(response.text)) == (200, [])


@pytest.mark.parametrize("last_event_id", ["x", "-1", "9" * 30])
async def test_an_invalid_last_event_id_is_422(
    signed_in_client: AsyncClient, user: User, db: AsyncSession, last_event_id: str
):
    row = await add_job(db, user, state="succeeded")
    headers = {"last-event-id": last_event_id}
    assert (await signed_in_client.get(f"/api/jobs/{row.id}/events", headers=headers)).status_code == 422
