"""The command `jobs`, which an operator runs in a terminal."""

import json
import subprocess
import sys
from uuid import uuid4

import pytest
from packages.saaskit.jobs.job_system import ROOT, JobSystem
from packages.saaskit.jobs.kinds import Work
from sqlalchemy import text

pytestmark = pytest.mark.slow
CODE = """
from saaskit.jobs.cli import main
from saaskit.settings import Settings, load_settings
main(load_settings(Settings))
"""


def jobs(idle: JobSystem, *arguments: object, code: int = 0, columns: int | None = 160) -> str:
    terminal = {"COLUMNS": str(columns)} if columns else {}
    done = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, arguments)],
        cwd=ROOT,
        env={name: value for name, value in idle.environment.items() if name != "COLUMNS"} | terminal,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


async def test_list_cancel_retry_watch_show_purge(idle: JobSystem):
    job, other = await idle.enqueue(Work()), await idle.enqueue(Work(), owner="ada")
    listed = jobs(idle)
    assert str(job) in listed
    assert str(other) in listed
    assert "1 cancelled or stopping, 0 unchanged" in jobs(idle, "cancel", job)
    assert str(other) not in jobs(idle, "list", "--state", "cancelled")
    assert "1 retried" in jobs(idle, "retry", "--state", "cancelled")
    assert "2 cancelled" in jobs(idle, "cancel", "--kind", "work")
    assert "cancelled" in jobs(idle, "watch", job)
    assert f"{job}: cancelled" in jobs(idle, "show", job)
    assert "0 deleted" in jobs(idle, "purge")
    async with idle.sessionmaker.begin() as db:
        await db.execute(text("UPDATE jobs SET finished_at = now() - interval '20 days'"))
    assert "2 deleted that finished more than 14 days ago" in jobs(idle, "purge")
    assert "No jobs." in jobs(idle)


async def fail(idle: JobSystem, message: str) -> str:
    """Create a dead job of the kind `build_export` with this error."""
    job = await idle.enqueue(Work())
    error = json.dumps({"type": "TimeoutError", "message": message})
    async with idle.sessionmaker.begin() as db:
        await db.execute(
            text("UPDATE jobs SET kind = 'build_export', state = 'dead', error = :error WHERE id = :id"),
            {"error": error, "id": job},
        )
    return str(job)


@pytest.mark.parametrize("columns", [60, 80, 100, 120])
async def test_narrow_lists_cut_the_note_and_nothing_else(idle: JobSystem, columns: int):
    ids = [await fail(idle, "the upstream did not respond in time " * 5) for _ in range(2)]
    _, *lines = jobs(idle, columns=columns).splitlines()
    for line, job in zip(lines, reversed(ids), strict=True):
        assert line.split()[:4] == [job, "build_export", "dead", "0/8"]
        assert line.endswith("…") or columns == 60
        assert len(line) <= max(columns, 36 + 2 + 12 + 2 + 5 + 2 + 5)


async def test_a_pipe_without_a_width_gets_lines_of_80_columns(idle: JobSystem):
    job = await fail(idle, "the upstream did not respond in time " * 5)
    heading, line = jobs(idle, columns=None).splitlines()
    assert heading.split() == ["id", "kind", "state", "tries", "note"]
    assert line.split()[:4] == [job, "build_export", "dead", "0/8"]
    assert line.endswith("…")
    assert len(line) == 80


async def test_json_has_everything_but_arguments_and_tokens(idle: JobSystem):
    job = await fail(idle, "x" * 200)
    (row,) = json.loads(jobs(idle, "--json", columns=80))
    assert (row["id"], row["kind"], row["state"], row["attempts"]) == (job, "build_export", "dead", 0)
    assert row["error"]["message"] == "x" * 200
    assert not {"payload", "lease_token"} & set(row)
    (shown,) = json.loads(jobs(idle, "show", job, "--json"))
    assert (shown["id"], shown["history"]) == (job, [])
    assert json.loads(jobs(idle, "retry", job, "--json")) == {"retried": 1, "unchanged": 0}
    assert json.loads(jobs(idle, "purge", "--json")) == {"deleted": 0}


async def test_notes_and_errors_are_shown_unchanged(idle: JobSystem):
    """Also an empty message, and text that looks like terminal markup."""
    await fail(idle, "")
    job = await idle.enqueue(Work())
    async with idle.sessionmaker.begin() as db:
        await db.execute(text("UPDATE jobs SET note = '[/x] sleeves' WHERE id = :id"), {"id": job})
    listed = jobs(idle)
    assert "TimeoutError" in listed
    assert "[/x] sleeves" in listed
    assert "[/x] sleeves" in jobs(idle, "show", job)
    jobs(idle, "cancel", job)
    assert "[/x] sleeves" in jobs(idle, "watch", job)


async def test_cancel_requires_a_selection(idle: JobSystem):
    assert "name the jobs by ID, --state or --kind" in jobs(idle, "cancel", code=2)
    assert "0 cancelled" in jobs(idle, "cancel", uuid4())
