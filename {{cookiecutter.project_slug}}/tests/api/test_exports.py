"""POST /api/exports, and the file behind it."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest
from httpx2 import AsyncClient
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.jobs import GiveUp, Run, enqueue
from app.jobs.exports import BuildExport, build_export
from app.models.exports import Export
from app.models.jobs import JobRow
from app.models.orders import Order, OrderItem
from app.models.users import User
from app.services import exports
from tests.factories import add_user
from tests.products import add_product

ORDERS = {"resource": "orders"}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
WHO = {"x-request-id": "order-7-abc", "traceparent": TRACE}


async def test_an_export_is_accepted_as_a_job(member: AsyncClient, db: AsyncSession):
    answer = await member.post("/api/exports", json=ORDERS, headers=WHO)
    assert (answer.status_code, answer.headers["retry-after"]) == (202, "1")
    job = await member.get(answer.headers["location"])
    assert (job.json()["kind"], job.json()["state"]) == ("build_export", "queued")
    row = await db.scalar(select(JobRow))
    assert row and (row.payload, row.request_id) == (ORDERS, "order-7-abc")
    assert row.traceparent == WHO["traceparent"]


async def test_the_same_idempotency_key_gives_the_same_job(member: AsyncClient, db: AsyncSession):
    key = {"idempotency-key": "monday"}
    first = await member.post("/api/exports", json=ORDERS, headers=key)
    second = await member.post("/api/exports", json=ORDERS, headers=key)
    assert (second.status_code, second.json()["id"]) == (202, first.json()["id"])
    other = await member.post("/api/exports", json={"resource": "posts"}, headers=key)
    assert (other.status_code, "Idempotency-Key" in other.json()["detail"]) == (422, True)
    assert len((await db.scalars(select(JobRow))).all()) == 1


async def test_bad_requests_are_422_and_leave_no_job(member: AsyncClient, db: AsyncSession):
    for body, headers in (
        ({"resource": "users"}, {}),
        ({}, {}),
        (ORDERS | {"owner": "x"}, {}),
        (ORDERS, {"idempotency-key": "x" * 300}),
        (ORDERS, {"idempotency-key": "a b"}),
    ):
        assert (await member.post("/api/exports", json=body, headers=headers)).status_code == 422
    assert (await db.scalars(select(JobRow))).all() == []


async def test_the_file_is_there_when_the_job_is_done(member: AsyncClient, db: AsyncSession):
    job = (await member.post("/api/exports", json={"resource": "posts"})).json()["id"]
    assert (await member.get(f"/api/exports/{job}/file")).status_code == 404
    row = await db.scalar(select(JobRow))
    assert row
    shown = []
    await exports.build(db, row.id, int(row.owner or 0), "posts", lambda *seen: shown.append(seen))
    await db.commit()
    file = await member.get(f"/api/exports/{job}/file")
    assert file.headers["content-disposition"] == 'attachment; filename="posts.csv"'
    assert file.text == "id,slug,title,author_id,published_at\r\n"


async def test_a_file_holds_only_what_is_the_owners(user: User, db: AsyncSession):
    lamp, bob = await add_product(db), await add_user(db)
    for buyer in (user, bob):
        item = OrderItem(product_id=lamp.id, quantity=1, unit_price=lamp.price)
        db.add(Order(user_id=buyer.id, total=lamp.price, items=[item]))
    job = await enqueue(db, BuildExport(resource="orders"), owner=str(user.id))
    assert await exports.build(db, job.id, user.id, "orders", lambda *_: None) == 1


async def test_jobs_5_nothing_is_exported_for_a_closed_account(user: User, db: AsyncSession):
    """Disabled between asking and the job's turn: refused for good, not tried again, and no file."""
    job = await enqueue(db, BuildExport(resource="orders"), owner=str(user.id))
    user.disabled_at = datetime.now(UTC)
    await db.flush()
    asked = SimpleNamespace(db=db, id=job.id, owner=str(user.id), progress=lambda *_: None)
    with pytest.raises(GiveUp, match="closed"):
        await build_export(BuildExport(resource="orders"), cast("Run", asked))
    assert (await db.scalars(select(Export))).all() == []


async def test_another_ones_file_is_404(member: AsyncClient, db: AsyncSession):
    job = (await member.post("/api/exports", json=ORDERS)).json()["id"]
    row = await db.scalar(select(JobRow))
    assert row
    row.owner = "mallory"
    db.add(Export(job_id=row.id, name="orders.csv", media_type="text/csv", content=b"secret"))
    await db.commit()
    assert (await member.get(f"/api/exports/{job}/file")).status_code == 404


def test_input_6_formulas_are_made_inert():
    for text in ("=cmd|'/c calc'!A1", "+1", "-1", "@SUM(A1)", "\t=1"):
        assert exports.inert(text) == f"'{text}"
    assert [exports.inert(value) for value in ("a=1", -1, None)] == ["a=1", -1, None]
