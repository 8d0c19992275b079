"""What is written of a failure, whatever it says, and what may be tried again."""

import ssl
import time
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.errors import Unprocessable
from app.core.jobs import Job, enqueue, states
from app.core.jobs.broker import create_celery
from app.core.jobs.errors import BadArguments, clean, described
from app.core.jobs.failure import delay_before, fail
from app.core.jobs.tables import JobRow
from app.settings import Settings
from tests.jobs.kinds import Work


class Alone(Job, unique=True):
    """Of which there is one at a time."""


class Shape(BaseModel):
    side: int


def refused(model: type[BaseModel], **values: Any) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        model(**values)
    return caught.value


@pytest.mark.parametrize(
    "long", ["A" * 10**6, "cookie" * 10**5, "input_value=" * 10**5, "password= " * 10**5, "://" * 10**5]
)
def test_a_long_message_holds_no_lease_up(long: str):
    began = time.process_time()
    assert len(described(RuntimeError(long))["message"]) == 1000
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "told",
    ["my_api_key='hunter2'", "x-secret-token: hunter2", "redis://app:hunter2@h", "Bearer hunter2hunter2"],
)
def test_secrets_are_struck_out(told: str):
    assert "hunter2" not in clean(f"refused {told} by the server", 1000)


async def started(db: AsyncSession, job: Job) -> states.Claim:
    row = await enqueue(db, job)
    claimed = await states.claim(db, row.id, "worker", 30)
    assert claimed
    return claimed


async def test_an_answer_of_somebody_else_may_be_right_next_time(db: AsyncSession):
    """Arguments that a job's class refuses never will be."""
    answer = refused(Shape, side="long")
    assert await fail(db, await started(db, Work()), answer) == "queued"
    assert await fail(db, await started(db, Work()), BadArguments(str(answer))) == "dead"


async def test_a_unique_job_is_not_tried_again_beside_another(db: AsyncSession):
    dead = await enqueue(db, Alone())
    await db.execute(update(JobRow).where(JobRow.id == dead.id).values(state="dead"))
    active = await enqueue(db, Alone())
    assert active.id != dead.id
    assert not await states.retry(db, dead.id)
    await db.execute(update(JobRow).where(JobRow.id == active.id).values(state="succeeded"))
    assert await states.retry(db, dead.id)


async def test_text_that_looks_like_a_nul_is_text(db: AsyncSession):
    row = await enqueue(db, Quote(text=r"In JSON \u0000 is a NUL."))
    assert row.payload == {"text": r"In JSON \u0000 is a NUL."}
    with pytest.raises(Unprocessable, match="NUL"):
        await enqueue(db, Quote(text="\\\x00"))


class Quote(Job):
    text: str


def test_retries_come_later_each_time_and_never_together():
    for attempt in range(1, 30):
        whole = min(3600, 2 * 2 ** (attempt - 1))
        delays = {delay_before(attempt, 2) for _ in range(20)}
        assert len(delays) == 20
        assert whole / 2 <= min(delays) <= max(delays) <= whole


@pytest.mark.parametrize("url", ["rediss://:p@h:6379/1", "valkeys://:p@h:6379/1", "amqps://u:p@h//"])
def test_a_broker_proves_who_it_is(url: str):
    options = create_celery(Settings(celery_broker_url=url)).connection_for_write().ssl
    assert ssl.CERT_REQUIRED in options.values()


async def test_two_jobs_of_one_key_are_never_begun_together(db: AsyncSession):
    """Whatever the broker delivers: the claim looks, too."""
    rows = [await enqueue(db, Turn()) for _ in range(2)]
    assert await states.claim(db, rows[0].id, "one", 30)
    assert await states.claim(db, rows[1].id, "two", 30) is None
    published = await db.scalar(text("SELECT published_at FROM jobs WHERE id = :id"), {"id": rows[1].id})
    assert published is None


class Turn(Job, concurrency=1):
    """One after the other."""


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("redis://:valkey@valkey:6379/1", "redis://:valkey@valkey:6379/1"),
        ("valkeys://:p@my-valkey.example.com:6379/1", "rediss://:p@my-valkey.example.com:6379/1"),
        ("amqp://app:p@valkey//", "amqp://app:p@valkey//"),
    ],
)
def test_only_the_scheme_is_said_in_celerys_words(url: str, broker: str):
    """compose.yaml calls its server `valkey`."""
    assert Settings(celery_broker_url=url).broker_url == broker
