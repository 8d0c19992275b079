"""Stored errors, the decision to retry, and the verification of the broker."""

import ssl
import time
from typing import Any

import pytest
from packages.saaskit.jobs.kinds import Work
from pydantic import BaseModel, ValidationError
from saaskit.jobs import Job, JobRecord, enqueue, queries
from saaskit.jobs.broker import create_celery
from saaskit.jobs.failures import InvalidArguments, describe_error, handle_failure, redact, retry_delay
from saaskit.settings import Settings
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncSession


class Alone(Job, unique=True):
    """Is queued or running at most once."""


class Turn(Job, concurrency=1):
    """Runs one at a time."""


class Shape(BaseModel):
    side: int


def validation_error(model: type[BaseModel], **values: Any) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        model(**values)
    return caught.value


@pytest.mark.parametrize(
    "long", ["A" * 10**6, "cookie" * 10**5, "input_value=" * 10**5, "password= " * 10**5, "://" * 10**5]
)
def test_a_long_message_is_redacted_quickly(long: str):
    """The lease is not renewed meanwhile."""
    started = time.process_time()
    assert len(describe_error(RuntimeError(long))["message"]) == 1000
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "message",
    ["my_api_key='hunter2'", "x-secret-token: hunter2", "redis://app:hunter2@h", "Bearer hunter2hunter2"],
)
def test_secrets_are_redacted(message: str):
    assert "hunter2" not in redact(f"refused {message} by the server", 1000)


async def start(db: AsyncSession, job: Job) -> queries.Claim:
    row = await enqueue(db, job)
    claimed = await queries.claim(db, row.id, "worker", 30)
    assert claimed
    return claimed


async def test_a_validation_error_in_a_handler_is_retried_but_invalid_arguments_are_not(db: AsyncSession):
    """An upstream's response may be valid next time; the job's arguments never will be."""
    error = validation_error(Shape, side="long")
    assert await handle_failure(db, await start(db, Work()), error) == "queued"
    assert await handle_failure(db, await start(db, Work()), InvalidArguments(str(error))) == "dead"


async def test_a_unique_job_is_not_retried_while_another_is_active(db: AsyncSession):
    dead = await enqueue(db, Alone())
    await db.execute(update(JobRecord).where(JobRecord.id == dead.id).values(state="dead"))
    active = await enqueue(db, Alone())
    assert active.id != dead.id
    assert not await queries.retry(db, dead.id)
    await db.execute(update(JobRecord).where(JobRecord.id == active.id).values(state="succeeded"))
    assert await queries.retry(db, dead.id)


def test_the_delay_doubles_with_each_attempt_and_has_jitter():
    for attempt in range(1, 30):
        whole = min(3600, 2 * 2 ** (attempt - 1))
        delays = {retry_delay(attempt, 2) for _ in range(20)}
        assert len(delays) == 20
        assert whole / 2 <= min(delays) <= max(delays) <= whole


async def test_two_jobs_of_one_concurrency_key_never_start_together(db: AsyncSession):
    """Even if the broker delivers both: the claim checks the limit, too."""
    rows = [await enqueue(db, Turn()) for _ in range(2)]
    assert await queries.claim(db, rows[0].id, "one", 30)
    assert await queries.claim(db, rows[1].id, "two", 30) is None
    published = await db.scalar(text("SELECT published_at FROM jobs WHERE id = :id"), {"id": rows[1].id})
    assert published is None


@pytest.mark.parametrize("end", ["fails", "is handed back"])
async def test_a_job_that_was_asked_to_stop_is_not_queued_again(db: AsyncSession, end: str):
    """The attempt ended before it saw the request."""
    claimed = await start(db, Work())
    assert await queries.cancel(db, claimed.id)
    if end == "fails":
        assert await queries.finish(db, claimed, "queued", outcome="failed", delay=3600) == "cancelled"
    else:
        assert await queries.release(db, "worker") == 1
    row = await db.get(JobRecord, claimed.id, populate_existing=True)
    assert row
    assert (row.state, row.finished_at is None) == ("cancelled", False)


@pytest.mark.parametrize("url", ["rediss://:p@h:6379/1", "valkeys://:p@h:6379/1", "amqps://u:p@h//"])
def test_the_certificate_of_the_broker_is_verified(url: str):
    settings = Settings(environment="test", celery_broker_url=url)
    assert ssl.CERT_REQUIRED in create_celery(settings).connection_for_write().ssl.values()


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("redis://:valkey@valkey:6379/1", "redis://:valkey@valkey:6379/1"),
        ("valkeys://:p@my-valkey.example.com:6379/1", "rediss://:p@my-valkey.example.com:6379/1"),
        ("amqp://app:p@valkey//", "amqp://app:p@valkey//"),
    ],
)
def test_only_the_scheme_of_a_valkey_url_is_replaced(url: str, broker: str):
    """Not the host name `valkey` of compose.yaml."""
    assert Settings(environment="test", celery_broker_url=url).broker_url == broker
