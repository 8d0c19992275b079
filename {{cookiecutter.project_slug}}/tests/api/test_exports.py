"""POST /api/exports, and the file behind it."""

from httpx2 import AsyncClient
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.exports import Export
from app.models.jobs import JobRow
from app.services import exports
from tests.factories import add_user

ORDERS = {"resource": "orders"}


async def test_an_export_is_accepted_as_a_job(client: AsyncClient, db: AsyncSession):
    answer = await client.post("/api/exports", json=ORDERS, headers={"x-request-id": "order-7-abc"})
    assert (answer.status_code, answer.headers["retry-after"]) == (202, "1")
    job = await client.get(answer.headers["location"])
    assert (job.json()["kind"], job.json()["state"]) == ("build_export", "queued")
    row = await db.scalar(select(JobRow))
    assert row and (row.payload, row.request_id) == (ORDERS, "order-7-abc")


async def test_the_same_idempotency_key_gives_the_same_job(client: AsyncClient, db: AsyncSession):
    key = {"idempotency-key": "monday"}
    first = await client.post("/api/exports", json=ORDERS, headers=key)
    second = await client.post("/api/exports", json=ORDERS, headers=key)
    assert (second.status_code, second.json()["id"]) == (202, first.json()["id"])
    other = await client.post("/api/exports", json={"resource": "posts"}, headers=key)
    assert (other.status_code, "Idempotency-Key" in other.json()["detail"]) == (422, True)
    assert len((await db.scalars(select(JobRow))).all()) == 1


async def test_bad_requests_are_422_and_leave_no_job(client: AsyncClient, db: AsyncSession):
    for body, headers in (
        ({"resource": "users"}, {}),
        ({}, {}),
        (ORDERS | {"owner": "x"}, {}),
        (ORDERS, {"idempotency-key": "x" * 300}),
        (ORDERS, {"idempotency-key": "a b"}),
    ):
        assert (await client.post("/api/exports", json=body, headers=headers)).status_code == 422
    assert (await db.scalars(select(JobRow))).all() == []


async def test_the_file_is_there_when_the_job_is_done(client: AsyncClient, db: AsyncSession):
    await add_user(db)
    job = (await client.post("/api/exports", json={"resource": "posts"})).json()["id"]
    assert (await client.get(f"/api/exports/{job}/file")).status_code == 404
    row = await db.scalar(select(JobRow))
    assert row
    shown = []
    await exports.build(db, row.id, "posts", lambda *seen: shown.append(seen))
    await db.commit()
    file = await client.get(f"/api/exports/{job}/file")
    assert file.headers["content-disposition"] == 'attachment; filename="posts.csv"'
    assert file.text == "id,slug,title,author_id,published_at\r\n"


async def test_another_ones_file_is_404(client: AsyncClient, db: AsyncSession):
    job = (await client.post("/api/exports", json=ORDERS)).json()["id"]
    row = await db.scalar(select(JobRow))
    assert row
    row.owner = "mallory"
    db.add(Export(job_id=row.id, name="orders.csv", media_type="text/csv", content=b"secret"))
    await db.commit()
    assert (await client.get(f"/api/exports/{job}/file")).status_code == 404


def test_formulas_are_made_inert():
    for text in ("=cmd|'/c calc'!A1", "+1", "-1", "@SUM(A1)", "\t=1"):
        assert exports.inert(text) == f"'{text}"
    assert [exports.inert(value) for value in ("a=1", -1, None)] == ["a=1", -1, None]
