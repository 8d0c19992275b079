"""What docs/reference/jobs.md promises, with a real relay, a real worker, a real broker."""

import asyncio
from datetime import timedelta

import pytest
import structlog
from sqlalchemy import text

from app.core.jobs import enqueue, states
from tests.jobs.kinds import (
    Chain,
    Grind,
    Lone,
    Overshoot,
    Remember,
    RememberPlainly,
    Single,
    Sleepy,
    Stroll,
    Versioned,
    Wordy,
    Work,
)
from tests.jobs.plant import Plant, eventually

pytestmark = pytest.mark.slow


async def test_what_is_committed_runs(plant: Plant):
    job = await plant.ask(Work(number=1))
    row = await plant.until(job, "succeeded")
    assert (row.result, row.attempts, row.progress) == ({"number": 1}, 1, 100)
    assert await plant.count("effects", f"job_id = '{job}'") == 1


async def test_what_is_rolled_back_never_runs(plant: Plant):
    async with plant.sessions() as db:
        gone = (await enqueue(db, Work(number=2))).id
        await db.rollback()
    await plant.until(await plant.ask(Work()), "succeeded")
    assert await plant.count("jobs", f"id = '{gone}'") == 0
    assert await plant.count("effects", f"job_id = '{gone}'") == 0


async def test_a_failed_job_is_tried_again_and_its_effects_are_rolled_back(plant: Plant):
    job = await plant.ask(Work(number=3, fail_until=3))
    row = await plant.until(job, "succeeded")
    assert row.attempts == 3
    assert await plant.count("effects", f"job_id = '{job}' AND attempt = 3") == 1
    assert await plant.count("effects", f"job_id = '{job}'") == 1
    assert await plant.count("job_attempts", f"job_id = '{job}' AND outcome = 'failed'") == 2


async def test_errors_are_kept_with_traceback_and_without_secrets(plant: Plant):
    job = await plant.ask(Work(fail_until=99))
    row = await plant.until(job, "dead")
    assert row.attempts == row.max_attempts
    assert row.error
    assert row.error["type"] == "RuntimeError"
    assert "kinds.py" in row.error["traceback"]
    assert "hunter" not in str(row.error)
    assert "postgresql://***@db/app" in row.error["message"]


@pytest.mark.parametrize("kind", [Stroll, Grind])
async def test_cancel_takes_effect_within_two_seconds(plant: Plant, kind: type[Stroll | Grind]):
    """For a job that calls `progress`; what it wrote is rolled back. Twice the time here, for a busy CI."""
    job = await plant.ask(kind(steps=2000))

    async def strolling() -> bool:
        return (await plant.row(job)).progress > 0

    await eventually(strolling)
    async with plant.sessions.begin() as db:
        assert await states.cancel(db, job)
    row = await plant.until(job, "cancelled", limit=4)
    assert row.note.startswith("step")
    assert await plant.count("effects", f"job_id = '{job}'") == 0


async def test_cancel_also_reaches_a_job_that_shows_no_progress(plant: Plant):
    job = await plant.ask(Work(seconds=600))
    await plant.until(job, "running")
    async with plant.sessions.begin() as db:
        await states.cancel(db, job)
    await plant.until(job, "cancelled", limit=8)


async def test_what_takes_too_long_is_ended(plant: Plant):
    row = await plant.until(await plant.ask(Sleepy()), "dead")
    assert row.error
    assert (row.error["type"], row.error["message"]) == ("TimeLimitExceeded", "Not done after 1 s.")


async def test_follow_ups_exist_if_and_only_if_the_job_succeeds(plant: Plant):
    """The first attempt fails behind its `enqueue`: of two asked for, one follow-up is there."""
    job = await plant.ask(Chain(), owner="ada")
    await plant.until(job, "succeeded")
    async with plant.sessions() as db:
        rows = (
            await db.execute(
                text("SELECT payload->>'number', owner FROM jobs WHERE owner = 'ada' AND kind = 'work'")
            )
        ).all()
    assert [tuple(row) for row in rows] == [("2", "ada")]


async def test_no_more_than_the_limit_run_at_once_for_a_key(plant: Plant):
    jobs = [await plant.ask(Lone(key="a")) for _ in range(4)]
    other = await plant.ask(Lone(key="b"))
    for job in [*jobs, other]:
        await plant.until(job, "succeeded")
    overlaps = (
        "SELECT count(*) FROM starts s JOIN effects e USING (job_id) JOIN starts s2 ON s2.job_id <> s.job_id"
    )
    overlaps += " AND s2.at > s.at AND s2.at < e.at WHERE s.job_id = ANY(:ids) AND s2.job_id = ANY(:ids)"
    async with plant.sessions() as db:
        assert await db.scalar(text(overlaps), {"ids": jobs}) == 0


async def test_a_unique_job_is_there_once_until_it_has_ended(plant: Plant):
    rows = await asyncio.gather(*(plant.ask(Single()) for _ in range(8)))
    assert len(set(rows)) == 1
    assert await plant.ask(Single(seconds=2)) != rows[0]
    await plant.until(rows[0], "succeeded")
    assert await plant.ask(Single()) != rows[0]


async def test_the_requests_id_and_trace_reach_the_jobs_log(plant: Plant):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with structlog.contextvars.bound_contextvars(
        request_id="order-7-abc", traceparent=f"00-{trace}-00f067aa0ba902b7-01"
    ):
        job = await plant.ask(Work())
    await plant.until(job, "succeeded")
    lines = [line for line in plant.log("worker").splitlines() if str(job) in line]
    assert len(lines) == 2
    for line, event in zip(lines, ("job started", "job succeeded"), strict=True):
        assert event in line
        assert "order-7-abc" in line
        assert trace in line


async def test_progress_out_of_range_is_an_error_that_says_so(plant: Plant):
    for percent in (140, -1):
        row = await plant.until(await plant.ask(Overshoot(percent=percent)), "dead")
        assert row.error
        assert row.error["message"] == f"progress is 0 to 100, not {float(percent)}"


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("error", "a\ufffdb?c"),
        ("give up", "There is nothing to knit."),
        ("nul", "The result holds a NUL character, which PostgreSQL does not store."),
        ("large", "The result is larger than 65536 bytes as JSON. Store it in a table instead."),
    ],
)
async def test_what_postgresql_cannot_hold_ends_the_job_not_the_worker(plant: Plant, what: str, message: str):
    row = await plant.until(await plant.ask(Wordy(what=what)), "dead")
    assert row.error
    assert row.error["message"] == message


async def test_arguments_of_an_older_version_are_upgraded(plant: Plant):
    job = await plant.ask(Versioned(names=[]), delay=timedelta(days=1))
    async with plant.sessions.begin() as db:
        await db.execute(
            text(
                'UPDATE jobs SET version = 1, payload = \'{"name": "Ada"}\', run_after = now() WHERE id = :id'
            ),
            {"id": job},
        )
    row = await plant.until(job, "succeeded")
    assert row.result == ["Ada"]


@pytest.mark.parametrize(
    ("change", "state", "message"),
    [
        (
            "kind = 'unheard_of'",
            "queued",
            "This worker has no code for unheard_of. Deploy it, then retry the job.",
        ),
        ("kind = 'unheard_of', max_attempts = 1", "dead", "This worker has no code for unheard_of."),
        ("version = 3", "queued", "The arguments are of version 3; this worker's code of versioned knows 2."),
        ('payload = \'{"shoe_size": "hunter4"}\'', "dead", "2 validation errors for Versioned"),
    ],
)
async def test_what_the_code_does_not_know_has_a_clear_end(
    plant: Plant, change: str, state: str, message: str
):
    """Unknown kinds and newer arguments wait a minute for a deployment; broken arguments are dead at once."""
    job = await plant.ask(Versioned(names=[]), delay=timedelta(days=1))
    async with plant.sessions.begin() as db:
        await db.execute(text(f"UPDATE jobs SET {change}, run_after = now() WHERE id = '{job}'"))

    async def judged() -> bool:
        return (await plant.row(job)).error is not None

    await eventually(judged)
    row = await plant.row(job)
    assert (row.state, row.attempts) == (state, 1)
    assert row.error
    assert row.error["message"].startswith(message)
    assert "hunter4" not in str(row.error)
    await plant.until(await plant.ask(Work()), "succeeded")


async def test_what_a_job_caches_is_its_owners(plant: Plant):
    """In Valkey, across the worker's processes; nothing of it reaches a job of somebody else."""
    asked = [(kind, owner) for owner in ("1", "2", None) for kind in (Remember, RememberPlainly) * 3]
    jobs = [(owner, await plant.ask(kind(), owner=owner)) for kind, owner in asked]
    found = {(owner, str((await plant.until(job, "succeeded")).result)) for owner, job in jobs}
    assert len(found) == 3, found
    assert len({result for _, result in found}) == 3
