"""The guarantees of docs/reference/jobs.md, with a real relay, a real worker and a real broker."""

import asyncio
from datetime import timedelta

import pytest
import structlog
from packages.saaskit.jobs.job_system import JobSystem, eventually
from packages.saaskit.jobs.kinds import (
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
from saaskit.jobs import enqueue, queries
from sqlalchemy import text

pytestmark = pytest.mark.slow


async def test_a_committed_job_runs(system: JobSystem):
    job = await system.enqueue(Work(number=1))
    row = await system.wait_for(job, "succeeded")
    assert (row.result, row.attempts, row.progress) == ({"number": 1}, 1, 100)
    assert await system.count("effects", f"job_id = '{job}'") == 1


async def test_a_rolled_back_job_never_runs(system: JobSystem):
    async with system.sessionmaker() as db:
        job = (await enqueue(db, Work(number=2))).id
        await db.rollback()
    await system.wait_for(await system.enqueue(Work()), "succeeded")
    assert await system.count("jobs", f"id = '{job}'") == 0
    assert await system.count("effects", f"job_id = '{job}'") == 0


async def test_a_failed_job_is_retried_and_its_effects_are_rolled_back(system: JobSystem):
    job = await system.enqueue(Work(number=3, fail_until=3))
    row = await system.wait_for(job, "succeeded")
    assert row.attempts == 3
    assert await system.count("effects", f"job_id = '{job}' AND attempt = 3") == 1
    assert await system.count("effects", f"job_id = '{job}'") == 1
    assert await system.count("job_attempts", f"job_id = '{job}' AND outcome = 'failed'") == 2


async def test_errors_are_stored_with_their_traceback_and_without_secrets(system: JobSystem):
    job = await system.enqueue(Work(fail_until=99))
    row = await system.wait_for(job, "dead")
    assert row.attempts == row.max_attempts
    assert row.error
    assert row.error["type"] == "RuntimeError"
    assert "kinds.py" in row.error["traceback"]
    assert "hunter" not in str(row.error)
    assert "postgresql://***@db/app" in row.error["message"]


@pytest.mark.parametrize("kind", [Stroll, Grind])
async def test_cancel_takes_effect_within_two_seconds(system: JobSystem, kind: type[Stroll | Grind]):
    """If the job calls `progress`; its effects are rolled back. The limit here is 4 s because CI is slow."""
    job = await system.enqueue(kind(steps=2000))

    async def has_progress() -> bool:
        return (await system.get(job)).progress > 0

    await eventually(has_progress)
    async with system.sessionmaker.begin() as db:
        assert await queries.cancel(db, job)
    row = await system.wait_for(job, "cancelled", limit=4)
    assert row.note.startswith("step")
    assert await system.count("effects", f"job_id = '{job}'") == 0


async def test_cancel_also_stops_a_job_that_reports_no_progress(system: JobSystem):
    job = await system.enqueue(Work(seconds=600))
    await system.wait_for(job, "running")
    async with system.sessionmaker.begin() as db:
        await queries.cancel(db, job)
    await system.wait_for(job, "cancelled", limit=8)


async def test_a_job_is_ended_at_its_time_limit(system: JobSystem):
    row = await system.wait_for(await system.enqueue(Sleepy()), "dead")
    assert row.error
    assert (row.error["type"], row.error["message"]) == (
        "TimeLimitExceeded",
        "The job exceeded its time limit of 1 s.",
    )


async def test_follow_ups_exist_if_and_only_if_the_job_succeeds(system: JobSystem):
    """The first attempt fails after its `enqueue`, so only the second attempt's follow-up exists."""
    job = await system.enqueue(Chain(), owner="ada")
    await system.wait_for(job, "succeeded")
    async with system.sessionmaker() as db:
        rows = (
            await db.execute(text("SELECT payload->>'number', owner FROM jobs WHERE owner = 'ada' AND kind = 'work'"))
        ).all()
    assert [tuple(row) for row in rows] == [("2", "ada")]


async def test_no_more_than_the_limit_run_at_once_for_a_key(system: JobSystem):
    jobs = [await system.enqueue(Lone(key="a")) for _ in range(4)]
    other = await system.enqueue(Lone(key="b"))
    for job in [*jobs, other]:
        await system.wait_for(job, "succeeded")
    overlaps = "SELECT count(*) FROM starts s JOIN effects e USING (job_id) JOIN starts s2 ON s2.job_id <> s.job_id"
    overlaps += " AND s2.at > s.at AND s2.at < e.at WHERE s.job_id = ANY(:ids) AND s2.job_id = ANY(:ids)"
    async with system.sessionmaker() as db:
        assert await db.scalar(text(overlaps), {"ids": jobs}) == 0


async def test_a_unique_job_exists_once_until_it_has_finished(system: JobSystem):
    rows = await asyncio.gather(*(system.enqueue(Single()) for _ in range(8)))
    assert len(set(rows)) == 1
    assert await system.enqueue(Single(seconds=2)) != rows[0]
    await system.wait_for(rows[0], "succeeded")
    assert await system.enqueue(Single()) != rows[0]


async def test_the_job_logs_the_id_and_the_trace_of_the_request(system: JobSystem):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    with structlog.contextvars.bound_contextvars(
        request_id="order-7-abc", traceparent=f"00-{trace}-00f067aa0ba902b7-01"
    ):
        job = await system.enqueue(Work())
    await system.wait_for(job, "succeeded")
    lines = [line for line in system.log("worker").splitlines() if str(job) in line]
    assert len(lines) == 2
    for line, event in zip(lines, ("job started", "job succeeded"), strict=True):
        assert event in line
        assert "order-7-abc" in line
        assert trace in line


async def test_progress_out_of_range_fails_the_job(system: JobSystem):
    for percent in (140, -1):
        row = await system.wait_for(await system.enqueue(Overshoot(percent=percent)), "dead")
        assert row.error
        assert row.error["message"] == f"progress must be between 0 and 100, not {float(percent)}"


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("error", "a\ufffdb?c"),
        ("permanent", "There is no wool."),
        ("nul", "The result contains a NUL character, which PostgreSQL cannot store."),
        ("large", "The result is larger than 65536 bytes as JSON. Store it in a table."),
    ],
)
async def test_a_value_that_postgresql_cannot_store_fails_the_job_not_the_worker(
    system: JobSystem, case: str, message: str
):
    row = await system.wait_for(await system.enqueue(Wordy(case=case)), "dead")
    assert row.error
    assert row.error["message"] == message


async def test_arguments_of_an_older_version_are_upgraded(system: JobSystem):
    job = await system.enqueue(Versioned(names=[]), delay=timedelta(days=1))
    async with system.sessionmaker.begin() as db:
        await db.execute(
            text('UPDATE jobs SET version = 1, payload = \'{"name": "Ada"}\', run_after = now() WHERE id = :id'),
            {"id": job},
        )
    row = await system.wait_for(job, "succeeded")
    assert row.result == ["Ada"]


@pytest.mark.parametrize(
    ("change", "state", "message"),
    [
        (
            "kind = 'unheard_of'",
            "queued",
            "This worker has no handler for unheard_of. Deploy it, then retry the job.",
        ),
        ("kind = 'unheard_of', max_attempts = 1", "dead", "This worker has no handler for unheard_of."),
        ("version = 3", "queued", "The arguments of versioned have version 3, but this worker knows only version 2."),
        ('payload = \'{"shoe_size": "hunter4"}\'', "dead", "2 validation errors for Versioned"),
    ],
)
async def test_unknown_kinds_versions_and_arguments_are_reported(
    system: JobSystem, change: str, state: str, message: str
):
    """Unknown kinds and newer arguments wait a minute for a deployment; invalid arguments are dead at once."""
    job = await system.enqueue(Versioned(names=[]), delay=timedelta(days=1))
    async with system.sessionmaker.begin() as db:
        statement = f"UPDATE jobs SET {change}, run_after = now() WHERE id = :id"  # noqa: S608 (constant text)
        await db.execute(text(statement), {"id": job})

    async def has_error() -> bool:
        return (await system.get(job)).error is not None

    await eventually(has_error)
    row = await system.get(job)
    assert (row.state, row.attempts) == (state, 1)
    assert row.error
    assert row.error["message"].startswith(message)
    assert "hunter4" not in str(row.error)
    await system.wait_for(await system.enqueue(Work()), "succeeded")


async def test_cached_values_are_separate_per_owner(system: JobSystem):
    """In Valkey, across the processes of the worker."""
    cases = [(kind, owner) for owner in ("1", "2", None) for kind in (Remember, RememberPlainly) * 3]
    jobs = [(owner, await system.enqueue(kind(), owner=owner)) for kind, owner in cases]
    found = {(owner, str((await system.wait_for(job, "succeeded")).result)) for owner, job in jobs}
    assert len(found) == 3, found
    assert len({result for _, result in found}) == 3
