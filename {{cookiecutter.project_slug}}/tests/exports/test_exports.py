"""/api/exports: exports of a user's data, and the job that builds them."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from httpx2 import AsyncClient
from saaskit.db import create_engine, create_sessionmaker
from saaskit.jobs import JobRecord, PermanentFailure, enqueue
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.models import User
from app.exports.jobs import (
    BuildExport,
    DeleteExpiredExports,
    build_export,
    delete_expired_exports,
    escape_formula,
)
from app.exports.models import Export
from app.exports.schemas import Resource
from app.settings import Settings
from tests.exports.factories import build, job_context
from tests.factories import add_user, sign_in

ROOT = Path(__file__).parents[2]
RESOURCES = get_args(Resource)
BODY = {"resource": RESOURCES[0]}


async def test_an_export_is_accepted_and_enqueued(
    signed_in_client: AsyncClient, user: User, db: AsyncSession
):
    headers = {"x-request-id": "order-7-abc"}
    response = await signed_in_client.post("/api/exports", json=BODY, headers=headers)
    assert (response.status_code, response.headers["retry-after"]) == (202, "1")
    export = response.json()
    assert (export["resource"], export["status"], export["rows"]) == (RESOURCES[0], "pending", None)
    assert (await signed_in_client.get(response.headers["location"])).json() == export
    row = await db.scalar(select(JobRecord))
    assert row
    assert (row.payload, row.owner) == ({"export_id": export["id"]}, str(user.id))
    assert (str(row.id), row.request_id) == (export["job_id"], "order-7-abc")


async def test_an_idempotency_key_gives_the_same_export(signed_in_client: AsyncClient, db: AsyncSession):
    key = {"idempotency-key": "monday"}
    first = await signed_in_client.post("/api/exports", json=BODY, headers=key)
    second = await signed_in_client.post("/api/exports", json=BODY, headers=key)
    assert (second.status_code, second.json()) == (202, first.json())
    await db.execute(update(Export).values(resource="another"))
    await db.commit()
    other = await signed_in_client.post("/api/exports", json=BODY, headers=key)
    assert (other.status_code, "Idempotency-Key" in other.json()["detail"]) == (422, True)
    assert len((await db.scalars(select(JobRecord))).all()) == 1


async def test_two_users_can_use_the_same_idempotency_key(
    signed_in_client: AsyncClient, new_client, db: AsyncSession
):
    key = {"idempotency-key": "monday"}
    other = new_client()
    other.cookies = await sign_in(db, await add_user(db))
    exports = [await c.post("/api/exports", json=BODY, headers=key) for c in (signed_in_client, other)]
    assert exports[0].json()["id"] != exports[1].json()["id"]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({"resource": "users"}, {}),
        ({}, {}),
        (BODY | {"owner": "x"}, {}),
        (BODY, {"idempotency-key": "x" * 300}),
        (BODY, {"idempotency-key": "a b"}),
    ],
    ids=str,
)
async def test_an_invalid_request_leaves_no_job(
    signed_in_client: AsyncClient, db: AsyncSession, body: dict, headers: dict
):
    assert (await signed_in_client.post("/api/exports", json=body, headers=headers)).status_code == 422
    assert (await db.scalars(select(JobRecord))).all() == []


@pytest.mark.parametrize("resource", RESOURCES)
async def test_the_file_is_available_when_the_job_has_succeeded(
    signed_in_client: AsyncClient, db: AsyncSession, resource: str
):
    export = (await signed_in_client.post("/api/exports", json={"resource": resource})).json()
    url = f"/api/exports/{export['id']}"
    assert (await signed_in_client.get(f"{url}/file")).status_code == 404
    assert await build(db, export["id"]) == {"rows": 0}
    ready = (await signed_in_client.get(url)).json()
    assert (ready["status"], ready["rows"], ready["completed_at"] is None) == ("ready", 0, False)
    file = await signed_in_client.get(f"{url}/file")
    assert file.headers["content-type"] == "text/csv; charset=utf-8"
    assert file.headers["content-disposition"] == f'attachment; filename="{resource}.csv"'
    assert file.text.startswith("id,")
    assert file.text.count("\r\n") == 1  # the names of the columns


async def test_a_resource_that_was_removed_is_not_exported(user: User, db: AsyncSession):
    """The resource of an older row may have been removed with its feature."""
    export = Export(owner_id=user.id, resource="removed", expires_at=datetime.now(UTC) + timedelta(days=1))
    db.add(export)
    await db.commit()
    with pytest.raises(PermanentFailure, match="can no longer be exported"):
        await build(db, export.id)


async def test_a_resource_that_was_removed_is_listed(
    signed_in_client: AsyncClient, user: User, db: AsyncSession
):
    db.add(Export(owner_id=user.id, resource="removed", expires_at=datetime.now(UTC) + timedelta(days=1)))
    await db.commit()
    (item,) = (await signed_in_client.get("/api/exports")).json()["items"]
    assert (item["resource"], item["status"]) == ("removed", "failed")


@pytest.mark.requirement("JOBS-5")
async def test_nothing_is_exported_for_a_disabled_account(
    signed_in_client: AsyncClient, user: User, db: AsyncSession
):
    export = (await signed_in_client.post("/api/exports", json=BODY)).json()
    user.disabled_at = datetime.now(UTC)
    await db.commit()
    with pytest.raises(PermanentFailure, match="closed"):
        await build_export(BuildExport(export_id=export["id"]), job_context(db))


@pytest.mark.parametrize("job_state", ["dead", "cancelled"])
async def test_an_export_whose_job_failed_is_failed(
    signed_in_client: AsyncClient, db: AsyncSession, job_state: str
):
    export = (await signed_in_client.post("/api/exports", json=BODY)).json()
    await db.execute(update(JobRecord).values(state=job_state))
    await db.commit()
    assert (await signed_in_client.get(f"/api/exports/{export['id']}")).json()["status"] == "failed"


async def test_another_users_export_is_404(signed_in_client: AsyncClient, new_client, db: AsyncSession):
    other = new_client()
    other.cookies = await sign_in(db, await add_user(db))
    export = (await other.post("/api/exports", json=BODY)).json()
    await build(db, export["id"])
    for url in (f"/api/exports/{export['id']}", f"/api/exports/{export['id']}/file"):
        assert (await signed_in_client.get(url)).status_code == 404
    assert (await signed_in_client.get("/api/exports")).json() == {"items": [], "next": None}


async def test_the_list_is_newest_first_and_paged(signed_in_client: AsyncClient):
    ids = [(await signed_in_client.post("/api/exports", json=BODY)).json()["id"] for _ in range(3)]
    first = (await signed_in_client.get("/api/exports?limit=2")).json()
    assert [item["id"] for item in first["items"]] == [ids[2], ids[1]]
    second = (await signed_in_client.get(f"/api/exports?limit=2&cursor={first['next']}")).json()
    assert ([item["id"] for item in second["items"]], second["next"]) == ([ids[0]], None)


async def test_an_expired_export_is_404_and_deleted(signed_in_client: AsyncClient, db: AsyncSession):
    export = (await signed_in_client.post("/api/exports", json=BODY)).json()
    await db.execute(update(Export).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    await db.commit()
    assert (await signed_in_client.get(f"/api/exports/{export['id']}")).status_code == 404
    assert await delete_expired_exports(DeleteExpiredExports(), job_context(db)) == {"deleted": 1}
    assert (await db.scalars(select(Export))).all() == []


@pytest.mark.requirement("INPUT-6")
def test_formulas_are_escaped():
    for text in ("=cmd|'/c calc'!A1", "+1", "-1", "@SUM(A1)", "\t=1"):
        assert escape_formula(text) == f"'{text}"
    assert [escape_formula(value) for value in ("a=1", -1, None)] == ["a=1", -1, None]


async def test_the_migration_keeps_existing_files(new_database: Callable[[str], str]):
    """Before 0004 a file belonged to a job; its owner was the job's."""
    url = new_database("exports_migration")
    alembic = Config(toml_file=ROOT / "pyproject.toml")
    alembic.attributes["url"] = url
    await asyncio.to_thread(command.downgrade, alembic, "0003")
    connection = await asyncpg.connect(url)
    user = await connection.fetchval(
        "INSERT INTO users (email, name) VALUES ('a@example.com', 'A') RETURNING id"
    )
    job = await connection.fetchval(
        "INSERT INTO jobs (id, owner, kind, version, payload, queue, priority, state, max_attempts, result)"
        " VALUES (gen_random_uuid(), $1, 'build_export', 1, '{}', 'default', 5, 'succeeded', 5,"
        " jsonb_build_object('rows', 2))"
        " RETURNING id",
        str(user),
    )
    await connection.execute(
        "INSERT INTO exports (job_id, name, media_type, content)"
        " VALUES ($1, 'orders.csv', 'text/csv', 'a,b')",
        job,
    )
    await asyncio.to_thread(command.upgrade, alembic, "head")
    row = await connection.fetchrow("SELECT owner_id, resource, job_id, rows, content FROM exports")
    await connection.close()
    assert tuple(row) == (user, "orders", job, 2, b"a,b")


@pytest.fixture
def processes(
    settings: Settings, new_database: Callable[[str], str], servers, tmp_path: Path
) -> Iterator[str]:
    """A relay and a worker of this product, on a database of their own. The value is the database's URL."""
    url = new_database("exports_jobs")
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    environment |= {
        "ENVIRONMENT": "test",
        "DATABASE_URL": url,
        "REDIS_URL": f"{servers.cache}/15",
        "PYTHONPATH": str(ROOT),
    }
    with ExitStack() as stack:
        for module in ("app.relay", "app.worker"):
            log = stack.enter_context((tmp_path / f"{module}.log").open("wb"))
            options = ["-c", "1"] if module == "app.worker" else []
            process = subprocess.Popen(
                [sys.executable, "-m", module, *options],
                cwd=tmp_path,
                env=environment,
                stdout=log,
                stderr=log,
            )
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
        yield url


@pytest.mark.slow
async def test_a_relay_and_a_worker_build_the_file(processes: str):
    engine = create_engine(processes, pool_size=1)
    sessionmaker = create_sessionmaker(engine)
    async with sessionmaker.begin() as db:
        user = User(email="ada@example.com", name="Ada")
        db.add(user)
        await db.flush()
        expires_at = datetime.now(UTC) + timedelta(days=1)
        export = Export(owner_id=user.id, resource=RESOURCES[0], expires_at=expires_at)
        db.add(export)
        await db.flush()
        await enqueue(db, BuildExport(export_id=export.id), owner=str(user.id))
    deadline = time.monotonic() + 60
    content = None
    while content is None and time.monotonic() < deadline:
        async with sessionmaker() as db:
            content = await db.scalar(select(Export.content).where(Export.id == export.id))
    await engine.dispose()
    assert content and content.startswith(b"id,")
