"""`enqueue`: validation, idempotency, and its cost for the caller."""

import asyncio
import subprocess
import sys
from datetime import timedelta

import pytest
from packages.saaskit.jobs.job_system import JobSystem
from packages.saaskit.jobs.kinds import Single, Work
from pydantic import ValidationError
from saaskit.errors import Conflict, PayloadTooLarge, Unprocessable
from saaskit.jobs import Job, enqueue, handler, queries
from saaskit.jobs.broker import create_celery
from saaskit.settings import Settings
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncSession


class Note(Job):
    text: str


async def test_invalid_arguments_are_rejected_before_anything_is_written():
    with pytest.raises(ValidationError):
        Work(number="seven")  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        Work(seconds=float("nan"))
    with pytest.raises(ValidationError):
        Work(shoe_size=43)  # type: ignore[call-arg]


async def test_arguments_that_are_too_large_or_cannot_be_stored_are_rejected(db: AsyncSession):
    with pytest.raises(PayloadTooLarge, match="larger than 65536 bytes"):
        await enqueue(db, Note(text="x" * 70_000))
    with pytest.raises(Unprocessable, match="NUL"):
        await enqueue(db, Note(text="a\x00b"))
    with pytest.raises(Unprocessable, match="NUL"):
        await enqueue(db, Note(text="\\\x00"))


async def test_text_that_looks_like_an_escaped_nul_is_stored(db: AsyncSession):
    row = await enqueue(db, Note(text=r"In JSON \u0000 is a NUL."))
    assert row.payload == {"text": r"In JSON \u0000 is a NUL."}


async def test_concurrent_requests_with_one_idempotency_key_get_one_job(idle: JobSystem):
    rows = await asyncio.gather(*(idle.enqueue(Work(), idempotency_key="k") for _ in range(5)))
    assert len(set(rows)) == 1
    with pytest.raises(Unprocessable, match="Idempotency-Key"):
        await idle.enqueue(Work(number=1), idempotency_key="k")
    assert await idle.enqueue(Work(number=1), idempotency_key="k", owner="ada") not in rows


async def test_a_job_that_keeps_changing_is_a_conflict(idle: JobSystem):
    """As if the existing job finished each time between the INSERT and the SELECT."""
    async with idle.sessionmaker.begin() as db:
        await db.execute(text("CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"))
        await db.execute(text("CREATE TRIGGER skip BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION skip()"))
    with pytest.raises(Conflict, match="modified concurrently"):
        await idle.enqueue(Single())


async def test_enqueuing_is_one_statement_and_a_delay_is_kept(idle: JobSystem):
    statements: list[str] = []
    async with idle.sessionmaker.begin() as db:
        await db.connection()
        event.listen(idle.engine.sync_engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
        row = await enqueue(db, Work(), delay=timedelta(hours=1))
        assert len(statements) == 1, statements
        wait = await db.scalar(text("SELECT run_after - now() FROM jobs"))
        assert wait and timedelta(minutes=59) < wait <= timedelta(hours=1)
        assert await queries.claim(db, row.id, "worker", 30) is None


def test_duplicate_kinds_and_handlers_are_rejected():
    with pytest.raises(TypeError, match="Duplicate job kind note"):
        type("Other", (Job,), {"__module__": __name__}, kind="note")
    handler(Note)(test_invalid_arguments_are_rejected_before_anything_is_written)
    with pytest.raises(TypeError, match="Duplicate handler for note"):
        handler(Note)(test_arguments_that_are_too_large_or_cannot_be_stored_are_rejected)


def test_workers_accept_only_json():
    """A pickled message could run any code in the worker."""
    settings = Settings(environment="test", redis_url="redis://127.0.0.1/0")
    assert create_celery(settings).conf.accept_content == ["json"]


def test_enqueuing_code_imports_neither_celery_nor_a_broker_client():
    """They would double the start time of an API."""
    modules = "saaskit.jobs, saaskit.jobs.owner, saaskit.mail"
    code = f"import sys, {modules}; print({{'celery', 'kombu', 'redis'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
