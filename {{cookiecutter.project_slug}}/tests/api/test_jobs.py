"""/api/jobs: your heavy work, and nobody else's."""

import json
from datetime import timedelta
from uuid import UUID

import pytest
from httpx2 import AsyncClient
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.jobs import GiveUp, Job, enqueue, states
from app.core.jobs.errors import described
from app.models.jobs import JobRow
from app.models.users import User


class Knit(Job):
    """A job without a handler: these tests move it by hand."""

    rows: int = 1


async def add_job(db: AsyncSession, owner: User | str | None, rows: int = 1, **values) -> JobRow:
    """A job that requests can see, in any state."""
    row = await enqueue(db, Knit(rows=rows), owner=str(owner.id) if isinstance(owner, User) else owner)
    if values:
        await db.execute(update(JobRow).where(JobRow.id == row.id).values(**values))
    await db.commit()
    await db.refresh(row)
    return row


async def start(db: AsyncSession, job: UUID) -> states.Claim:
    claimed = await states.claim(db, job, "worker", 30)
    assert claimed
    await db.commit()
    return claimed


async def test_a_job_is_shown_without_its_arguments(member: AsyncClient, user: User, db: AsyncSession):
    row = await add_job(db, user, rows=7)
    answer = await member.get(f"/api/jobs/{row.id}")
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["kind"], shown["state"], shown["progress"]) == ("knit", "queued", 0)
    assert not {"payload", "worker", "owner", "lease_token"} & set(shown)


async def test_polling_with_an_etag_is_304_until_something_changed(
    member: AsyncClient, user: User, db: AsyncSession
):
    row = await add_job(db, user)
    tag = (await member.get(f"/api/jobs/{row.id}")).headers["etag"]
    again = await member.get(f"/api/jobs/{row.id}", headers={"if-none-match": f'"x", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    claimed = await start(db, row.id)
    await states.renew(db, claimed, 30, 40, "sleeves")
    await db.commit()
    changed = await member.get(f"/api/jobs/{row.id}", headers={"if-none-match": tag})
    assert (changed.json()["progress"], changed.json()["note"]) == (40, "sleeves")


async def test_the_list_is_filtered_and_paged_by_a_cursor(member: AsyncClient, user: User, db: AsyncSession):
    rows = [await add_job(db, user, rows=number) for number in range(5)]
    await add_job(db, user, state="dead")
    asked = {"kind": "knit", "state": "queued", "limit": "2"}
    ids, cursor, pages = [], None, 0
    while cursor or not pages:
        page = (await member.get("/api/jobs", params=asked | ({"cursor": cursor} if cursor else {}))).json()
        ids += [item["id"] for item in page["items"]]
        cursor, pages = page["next"], pages + 1
    assert ids == [str(row.id) for row in reversed(rows)]
    assert pages == 3


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1e9", "cursor=x", "state=lost", "kind='--", "sort=id", "cursor=%00"]
)
async def test_a_bad_query_is_422(member: AsyncClient, query: str):
    assert (await member.get(f"/api/jobs?{query}")).status_code == 422


@pytest.mark.parametrize("owner", ["mallory", None])
async def test_others_get_404_and_see_nothing(
    member: AsyncClient, user: User, db: AsyncSession, owner: str | None
):
    """Jobs of another, and those of the system itself, which have no owner."""
    row = await add_job(db, owner)
    path = f"/api/jobs/{row.id}"
    for method, url in (
        ("GET", path),
        ("DELETE", path),
        ("POST", f"{path}/retry"),
        ("GET", f"{path}/events"),
    ):
        assert (await member.request(method, url)).status_code == 404, url
    assert str(row.id) not in (await member.get("/api/jobs")).text
    await db.refresh(row)
    assert row.state == "queued"


async def test_cancelling_what_waits_ends_it_at_once(member: AsyncClient, user: User, db: AsyncSession):
    row = await add_job(db, user)
    answer = await member.delete(f"/api/jobs/{row.id}")
    assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")
    assert await states.claim(db, row.id, "worker", 30) is None
    assert (await member.delete(f"/api/jobs/{row.id}")).status_code == 409


async def test_cancelling_what_runs_asks_it_to_stop(member: AsyncClient, user: User, db: AsyncSession):
    row = await add_job(db, user)
    claimed = await start(db, row.id)
    answer = await member.delete(f"/api/jobs/{row.id}")
    assert (answer.json()["state"], answer.json()["cancel_requested"]) == ("running", True)
    assert await states.renew(db, claimed, 30, 0, "") is True


@pytest.mark.parametrize("end", ["fails", "is handed back"])
async def test_what_was_asked_to_stop_is_not_queued_again(
    member: AsyncClient, user: User, db: AsyncSession, end: str
):
    """The attempt ended before it heard of it: nothing is left to run an hour later."""
    row = await add_job(db, user)
    claimed = await start(db, row.id)
    await member.delete(f"/api/jobs/{row.id}")
    if end == "fails":
        assert await states.settle(db, claimed, "queued", outcome="failed", delay=3600) == "cancelled"
    else:
        assert await states.release(db, "worker") == 1
    await db.commit()
    shown = (await member.get(f"/api/jobs/{row.id}")).json()
    assert (shown["state"], shown["finished_at"] is None) == ("cancelled", False)


@pytest.mark.parametrize("state", ["dead", "cancelled"])
async def test_dead_and_cancelled_jobs_can_begin_anew(
    member: AsyncClient, user: User, db: AsyncSession, state: str
):
    row = await add_job(db, user, state=state, attempts=5, cancel_requested=state == "cancelled")
    answer = await member.post(f"/api/jobs/{row.id}/retry")
    assert (answer.status_code, answer.json()["state"], answer.json()["attempts"]) == (202, "queued", 0)
    assert await states.claim(db, row.id, "worker", 30)


@pytest.mark.parametrize("state", ["queued", "running", "succeeded"])
async def test_others_cannot(member: AsyncClient, user: User, db: AsyncSession, state: str):
    row = await add_job(db, user, state=state)
    answer = await member.post(f"/api/jobs/{row.id}/retry")
    assert (answer.status_code, state in answer.json()["detail"]) == (409, True)


async def test_a_unique_job_waits_for_the_other_to_end(member: AsyncClient, user: User, db: AsyncSession):
    row = await add_job(db, user, state="dead", unique_key="socks")
    other = await add_job(db, user, unique_key="socks")
    answer = await member.post(f"/api/jobs/{row.id}/retry")
    assert (answer.status_code, "Another job" in answer.json()["detail"]) == (409, True)
    await member.delete(f"/api/jobs/{other.id}")
    assert (await member.post(f"/api/jobs/{row.id}/retry")).status_code == 202


async def test_only_messages_for_people_are_shown(member: AsyncClient, user: User, db: AsyncSession):
    for error, shown in (
        (GiveUp("The file is empty."), "The file is empty."),
        (RuntimeError("password hunter2"), "Something broke on our side."),
    ):
        row = await add_job(db, user, state="dead", error=described(error))
        assert (await member.get(f"/api/jobs/{row.id}")).json()["error"] == shown


def events(text: str) -> list[dict[str, str]]:
    """The events of a stream, field by field."""
    parts = [part for part in text.split("\n\n") if part and not part.startswith(":")]
    return [dict(line.split(": ", 1) for line in part.splitlines()) for part in parts]


async def test_events_end_with_the_job(member: AsyncClient, user: User, db: AsyncSession):
    row = await add_job(db, user, state="succeeded", progress=100, result={"file": "/x"}, revision=4)
    answer = await member.get(f"/api/jobs/{row.id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    (event,) = events(answer.text)
    assert (event["event"], event["id"]) == ("succeeded", "4")
    assert json.loads(event["data"])["result"] == {"file": "/x"}


async def test_events_go_on_behind_the_last_event_id(member: AsyncClient, user: User, db: AsyncSession):
    row = await add_job(db, user, state="succeeded", revision=4)
    news = await member.get(f"/api/jobs/{row.id}/events", headers={"last-event-id": "3"})
    assert [event["id"] for event in events(news.text)] == ["4"]
    over = await member.get(f"/api/jobs/{row.id}/events", headers={"last-event-id": "4"})
    assert (over.status_code, over.content) == (204, b"")  # tells an EventSource not to come again
    older = await member.get(f"/api/jobs/{row.id}/events", headers={"last-event-id": "3"})
    assert len(events(older.text)) == 1


@pytest.mark.parametrize("seen", ["x", "-1", "9" * 30])
async def test_a_bad_last_event_id_is_422(member: AsyncClient, user: User, db: AsyncSession, seen: str):
    row = await add_job(db, user, state="succeeded")
    answer = await member.get(f"/api/jobs/{row.id}/events", headers={"last-event-id": seen})
    assert answer.status_code == 422


async def test_enqueuing_is_one_statement_and_delays_are_kept(db: AsyncSession, queries):
    with queries() as sent:
        row = await enqueue(db, Knit(), delay=timedelta(hours=1))
    assert len(sent) == 1
    waits = await db.scalar(text("SELECT run_after - now() FROM jobs WHERE id = :id"), {"id": row.id})
    assert timedelta(minutes=59) < waits <= timedelta(hours=1)
    assert await states.claim(db, row.id, "worker", 30) is None
