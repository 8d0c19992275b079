"""`uv run jobs`: what an administrator does from a terminal."""

import subprocess
import sys
from uuid import uuid4

import pytest
from sqlalchemy import text

from tests.jobs.kinds import Work
from tests.jobs.plant import ROOT, Plant

pytestmark = pytest.mark.slow


def jobs(idle: Plant, *arguments: object, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from app.core.jobs.cli import main; main()", *map(str, arguments)],
        cwd=ROOT,
        env=idle.environment | {"COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


async def test_list_cancel_retry_watch_show_purge(idle: Plant):
    job, other = await idle.ask(Work()), await idle.ask(Work(), owner="ada")
    listed = jobs(idle)
    assert str(job) in listed
    assert str(other) in listed
    assert "1 cancelled or asked to stop, 0 left as they were" in jobs(idle, "cancel", job)
    assert str(other) not in jobs(idle, "list", "--state", "cancelled")
    assert "1 to begin anew" in jobs(idle, "retry", "--state", "cancelled")
    assert "2 cancelled" in jobs(idle, "cancel", "--kind", "work")
    assert "cancelled" in jobs(idle, "watch", job)
    assert f"{job}: cancelled" in jobs(idle, "show", job)
    assert "0 deleted" in jobs(idle, "purge")
    async with idle.sessions.begin() as db:
        await db.execute(text("UPDATE jobs SET finished_at = now() - interval '20 days'"))
    assert "2 deleted that ended more than 14 days ago" in jobs(idle, "purge")
    assert "No jobs." in jobs(idle)


async def test_what_jobs_say_is_shown_as_it_is(idle: Plant):
    """Also nothing at all, and what a terminal would take for markup."""
    job, other = await idle.ask(Work()), await idle.ask(Work())
    silent = '{"type": "TimeoutError", "message": ""}'
    async with idle.sessions.begin() as db:
        await db.execute(
            text("UPDATE jobs SET state = 'dead', error = :error WHERE id = :id"),
            {"error": silent, "id": job},
        )
        await db.execute(text("UPDATE jobs SET note = '[/x] sleeves' WHERE id = :id"), {"id": other})
    listed = jobs(idle)
    assert "TimeoutError" in listed
    assert "[/x] sleeves" in listed
    assert "[/x] sleeves" in jobs(idle, "show", other)
    jobs(idle, "cancel", other)
    assert "[/x] sleeves" in jobs(idle, "watch", other)


async def test_moving_nothing_in_particular_is_refused(idle: Plant):
    assert "cancel what? Name ids" in jobs(idle, "cancel", code=2)
    assert "0 cancelled" in jobs(idle, "cancel", uuid4())
