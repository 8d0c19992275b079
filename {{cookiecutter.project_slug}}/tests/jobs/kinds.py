"""Jobs for tests, which leave marks in a table of their own. Imported by the tests and by their worker."""

import asyncio
import os
import signal
import time

from sqlalchemy import text

from app.core.cache import cached
from app.core.jobs import GiveUp, Job, Run, handles

_COLUMNS = "(job_id uuid, number int, attempt int, at timestamptz DEFAULT clock_timestamp())"
TABLES = [f"CREATE TABLE IF NOT EXISTS {name} {_COLUMNS}" for name in ("effects", "starts")]


class Work(Job, max_attempts=8, backoff=0.02):
    """Takes some time, then leaves one mark in its transaction."""

    number: int = 0
    seconds: float = 0
    fail_until: int = 0


async def mark(run: Run, number: int, table: str = "effects") -> None:
    statement = text(f"INSERT INTO {table} (job_id, number, attempt) VALUES (:id, :number, :attempt)")
    await run.db.execute(statement, {"id": run.id, "number": number, "attempt": run.attempt})


@handles(Work)
async def work(job: Work, run: Run) -> dict[str, int]:
    await asyncio.sleep(job.seconds)
    await mark(run, job.number)
    if run.attempt < job.fail_until:
        raise RuntimeError(f"postgresql://app:hunter2@db/app refused password=hunter3 at {run.attempt}")
    return {"number": job.number}


class Doomed(Job, max_attempts=2, backoff=0.1):
    """Fails, and leaves nothing."""


@handles(Doomed)
async def doomed(job: Doomed, run: Run) -> None:
    await mark(run, 0)
    raise RuntimeError("always")


class Stroll(Job, backoff=0.1, max_attempts=3, time_limit=60):
    """Goes step by step and says so."""

    steps: int = 100
    pace: float = 0.05


@handles(Stroll)
async def stroll(job: Stroll, run: Run) -> None:
    await mark(run, 0)
    for step in range(job.steps):
        run.progress(100 * step / job.steps, f"step {step}")
        await asyncio.sleep(job.pace)


class Grind(Job, backoff=0.1, max_attempts=3):
    """The same as CPU work, in a plain function."""

    steps: int = 100
    pace: float = 0.05


@handles(Grind)
def grind(job: Grind, run: Run) -> None:
    run.wait(mark(run, 0))
    for step in range(job.steps):
        run.progress(100 * step / job.steps, f"step {step}")
        time.sleep(job.pace)


class Stubborn(Job, time_limit=1, max_attempts=2, backoff=0.1):
    """Never ends and never listens."""

    awaits: bool = True


@handles(Stubborn)
def stubborn(job: Stubborn, run: Run) -> None:
    while True:
        time.sleep(0.05)


class Sleepy(Job, time_limit=1, max_attempts=1):
    """Would take for ever, but can be interrupted."""


@handles(Sleepy)
async def sleepy(job: Sleepy, run: Run) -> None:
    await asyncio.sleep(3600)


class Poison(Job, max_attempts=3, backoff=0.1):
    """Kills the process that runs it."""


@handles(Poison)
async def poison(job: Poison, run: Run) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Lone(Job, concurrency=1):
    """One at a time for each key."""

    key: str
    seconds: float = 0.2

    def concurrency_key(self) -> str:
        return f"lone:{self.key}"


@handles(Lone)
async def lone(job: Lone, run: Run) -> None:
    async with run.db.begin():
        await mark(run, 0, "starts")
    await asyncio.sleep(job.seconds)
    await mark(run, 0)


class Single(Job, unique=True):
    """There is one at a time with the same arguments."""

    seconds: float = 3


@handles(Single)
async def single(job: Single, run: Run) -> None:
    await asyncio.sleep(job.seconds)


class Chain(Job, max_attempts=2, backoff=0.1):
    """Asks for a follow-up, then fails the first time."""


@handles(Chain)
async def chain(job: Chain, run: Run) -> None:
    await run.enqueue(Work(number=run.attempt))
    if run.attempt == 1:
        raise RuntimeError("not yet")


class Overshoot(Job, max_attempts=1):
    """Says that more than all is done."""

    percent: float = 140


@handles(Overshoot)
async def overshoot(job: Overshoot, run: Run) -> None:
    run.progress(job.percent)


class Wordy(Job, max_attempts=1):
    """Results and errors that PostgreSQL cannot hold as they are."""

    what: str


@handles(Wordy)
async def wordy(job: Wordy, run: Run) -> str:
    if job.what == "error":
        raise RuntimeError("a\x00b\ud800c")
    if job.what == "give up":
        raise GiveUp("There is nothing to knit.")
    return {"nul": "a\x00b", "large": "x" * 100_000}[job.what]


# --8<-- [start:upgrade]
class Versioned(Job, kind="versioned", version=2):
    """Was once called with `name`."""

    names: list[str]

    @classmethod
    def upgrade(cls, payload: dict, version: int) -> dict:
        return {"names": [payload["name"]]}


# --8<-- [end:upgrade]


@handles(Versioned)
async def versioned(job: Versioned, run: Run) -> list[str]:
    return job.names


@cached("who", revalidate=60)
async def who(token: str) -> dict[str, str]:
    return {"found": token, "by": os.urandom(4).hex()}


class Remember(Job, max_attempts=1):
    """Asks for what is cached."""


@handles(Remember)
async def remember(job: Remember, run: Run) -> dict[str, str]:
    return await who("same")


class RememberPlainly(Job, max_attempts=1):
    """The same in a plain function."""


@handles(RememberPlainly)
def remember_plainly(job: RememberPlainly, run: Run) -> dict[str, str]:
    return run.wait(who("same"))
