"""What enqueuing refuses, and what it costs those who do it."""

import asyncio
import subprocess
import sys

import pytest
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.errors import PayloadTooLarge, Unprocessable
from app.core.jobs import Job, enqueue, handles
from app.settings import Settings
from tests.jobs.kinds import Work
from tests.jobs.plant import ROOT, Plant


class Note(Job):
    text: str


async def test_bad_arguments_are_refused_before_anything_is_written():
    with pytest.raises(ValidationError):
        Work(number="seven")  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        Work(seconds=float("nan"))
    with pytest.raises(ValidationError):
        Work(shoe_size=43)  # type: ignore[call-arg]


async def test_what_is_too_large_or_cannot_be_stored_is_refused(db: AsyncSession):
    with pytest.raises(PayloadTooLarge, match="larger than 65536 bytes"):
        await enqueue(db, Note(text="x" * 70_000))
    with pytest.raises(Unprocessable, match="NUL"):
        await enqueue(db, Note(text="a\x00b"))


async def test_one_key_used_at_the_same_moment_gives_one_job(idle: Plant):
    rows = await asyncio.gather(*(idle.ask(Work(), idempotency_key="k") for _ in range(5)))
    assert len(set(rows)) == 1
    with pytest.raises(Unprocessable, match="Idempotency-Key"):
        await idle.ask(Work(number=1), idempotency_key="k")
    assert await idle.ask(Work(number=1), idempotency_key="k", owner="ada") not in rows


def test_two_kinds_and_two_handlers_of_one_name_are_refused():
    with pytest.raises(TypeError, match="Two jobs are of the kind note"):
        type("Other", (Job,), {"__module__": __name__}, kind="note")
    handles(Note)(test_bad_arguments_are_refused_before_anything_is_written)
    with pytest.raises(TypeError, match="Two functions handle note"):
        handles(Note)(test_what_is_too_large_or_cannot_be_stored_is_refused)


def test_the_worker_reads_json_only(settings: Settings):
    """Whoever writes into the broker cannot have a pickle unpacked."""
    code = (
        "from app.core.jobs.broker import create_celery; from app.settings import Settings;"
        f"print(create_celery(Settings(redis_url={settings.redis_url!r})).conf.accept_content)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['json']"


LATER = "alembic argon2 authlib celery cryptography httpx2 joserfc kombu limits pwdlib redis zxcvbn"


def test_the_api_imports_neither_celery_nor_what_else_can_wait():
    """Together these would double its start."""
    code = f"import sys, app.main; print(set({LATER.split()}) & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
