"""Jobs for tests. They leave marks in tables of their own. Imported by the tests and by their worker."""

import asyncio
import os
import signal
import time

from saaskit.cache import cached
from saaskit.jobs import Job, JobContext, PermanentFailure, handler
from sqlalchemy import text

_COLUMNS = "(job_id uuid, number int, attempt int, at timestamptz DEFAULT clock_timestamp())"
TABLES = [f"CREATE TABLE IF NOT EXISTS {name} {_COLUMNS}" for name in ("effects", "starts")]


class Work(Job, max_attempts=8, backoff=0.02):
    """Takes some time, then leaves one mark in its transaction."""

    number: int = 0
    seconds: float = 0
    fail_until: int = 0


async def mark(context: JobContext, number: int, table: str = "effects") -> None:
    statement = f"INSERT INTO {table} (job_id, number, attempt) VALUES (:id, :number, :attempt)"  # noqa: S608
    await context.db.execute(text(statement), {"id": context.id, "number": number, "attempt": context.attempt})


@handler(Work)
async def work(job: Work, context: JobContext) -> dict[str, int]:
    await asyncio.sleep(job.seconds)
    await mark(context, job.number)
    if context.attempt < job.fail_until:
        raise RuntimeError(f"postgresql://app:hunter2@db/app refused password=hunter3 at {context.attempt}")
    return {"number": job.number}


class Doomed(Job, max_attempts=2, backoff=0.1):
    """Always fails."""


@handler(Doomed)
async def doomed(job: Doomed, context: JobContext) -> None:
    await mark(context, 0)
    raise RuntimeError("always")


class Stroll(Job, backoff=0.1, max_attempts=3, time_limit=60):
    """Reports progress after each step."""

    steps: int = 100
    pace: float = 0.05


@handler(Stroll)
async def stroll(job: Stroll, context: JobContext) -> None:
    await mark(context, 0)
    for step in range(job.steps):
        context.progress(100 * step / job.steps, f"step {step}")
        await asyncio.sleep(job.pace)


class Grind(Job, backoff=0.1, max_attempts=3):
    """The same in a blocking function."""

    steps: int = 100
    pace: float = 0.05


@handler(Grind)
def grind(job: Grind, context: JobContext) -> None:
    context.wait(mark(context, 0))
    for step in range(job.steps):
        context.progress(100 * step / job.steps, f"step {step}")
        time.sleep(job.pace)


class Stubborn(Job, time_limit=1, max_attempts=2, backoff=0.1):
    """Ignores its time limit."""

    awaits: bool = True


@handler(Stubborn)
def stubborn(job: Stubborn, context: JobContext) -> None:
    while True:
        time.sleep(0.05)


class Sleepy(Job, time_limit=1, max_attempts=1):
    """Never ends, but can be interrupted."""


@handler(Sleepy)
async def sleepy(job: Sleepy, context: JobContext) -> None:
    await asyncio.sleep(3600)


class Poison(Job, max_attempts=3, backoff=0.1):
    """Kills the process that runs it."""


@handler(Poison)
async def poison(job: Poison, context: JobContext) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Lone(Job, concurrency=1):
    """One at a time for each key."""

    key: str
    seconds: float = 0.2

    def concurrency_key(self) -> str:
        return f"lone:{self.key}"


@handler(Lone)
async def lone(job: Lone, context: JobContext) -> None:
    async with context.db.begin():
        await mark(context, 0, "starts")
    await asyncio.sleep(job.seconds)
    await mark(context, 0)


class Single(Job, unique=True):
    """Is queued or running at most once with the same arguments."""

    seconds: float = 3


@handler(Single)
async def single(job: Single, context: JobContext) -> None:
    await asyncio.sleep(job.seconds)


class Chain(Job, max_attempts=2, backoff=0.1):
    """Enqueues a follow-up, then fails the first time."""


@handler(Chain)
async def chain(job: Chain, context: JobContext) -> None:
    await context.enqueue(Work(number=context.attempt))
    if context.attempt == 1:
        raise RuntimeError("not yet")


class Overshoot(Job, max_attempts=1):
    """Reports invalid progress."""

    percent: float = 140


@handler(Overshoot)
async def overshoot(job: Overshoot, context: JobContext) -> None:
    context.progress(job.percent)


class Wordy(Job, max_attempts=1):
    """Has results and errors that PostgreSQL cannot store unchanged."""

    case: str


@handler(Wordy)
async def wordy(job: Wordy, context: JobContext) -> str:
    if job.case == "error":
        raise RuntimeError("a\x00b\ud800c")
    if job.case == "permanent":
        raise PermanentFailure("There is no wool.")
    return {"nul": "a\x00b", "large": "x" * 100_000}[job.case]


# --8<-- [start:upgrade]
class Versioned(Job, kind="versioned", version=2):
    """Had the argument `name` in version 1."""

    names: list[str]

    @classmethod
    def upgrade(cls, payload: dict, version: int) -> dict:
        return {"names": [payload["name"]]}


# --8<-- [end:upgrade]


@handler(Versioned)
async def versioned(job: Versioned, context: JobContext) -> list[str]:
    return job.names


@cached("lookup", revalidate=60)
async def lookup(token: str) -> dict[str, str]:
    return {"found": token, "by": os.urandom(4).hex()}


class Remember(Job, max_attempts=1):
    """Returns a cached value."""


@handler(Remember)
async def remember(job: Remember, context: JobContext) -> dict[str, str]:
    return await lookup("same")


class RememberPlainly(Job, max_attempts=1):
    """The same in a blocking function."""


@handler(RememberPlainly)
def remember_plainly(job: RememberPlainly, context: JobContext) -> dict[str, str]:
    return context.wait(lookup("same"))
