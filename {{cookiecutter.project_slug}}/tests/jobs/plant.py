"""Relays and workers as processes of their own, on a database and a broker that a test may break."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.db import create_engine, create_sessions
from app.core.jobs import Job, enqueue
from app.models.jobs import JobRow
from app.settings import Settings
from tests.jobs.kinds import TABLES, Work

ROOT = Path(__file__).parents[2]
LIMIT = 40.0


class Plant:
    """Starts parts, enqueues jobs, waits for what becomes of them."""

    def __init__(self, folder: Path, database: str, broker: str, **settings: str) -> None:
        self.folder, self.database, self.broker = folder, database, broker
        defaults = {"LEASE_SECONDS": "3", "RELAY_SECONDS": "0.3", "WORKER_GRACE_SECONDS": "2"}
        self.settings = defaults | settings
        self.environment = {
            **os.environ,
            **self.settings,
            "ENVIRONMENT": "test",
            "DATABASE_URL": database,
            "REDIS_URL": broker,
            "CELERY_BROKER_URL": broker,
            "PYTHONPATH": str(ROOT),
        }
        self.parts: list[psutil.Popen] = []
        self.engine: AsyncEngine = create_engine(database, pool_size=5, pre_ping=True)
        self.sessions = create_sessions(self.engine)

    def as_settings(self) -> Settings:
        """What the parts see, for parts inside of the test's process."""
        names = {name.lower(): value for name, value in self.settings.items()}
        return Settings.model_validate(
            {"environment": "test", "database_url": self.database, "celery_broker_url": self.broker, **names}
        )

    async def prepare(self) -> None:
        async with self.engine.begin() as connection:
            for statement in TABLES:
                await connection.execute(text(statement))

    def start(self, part: str, *options: str, **environment: str) -> psutil.Popen:
        """Start a `relay` or a `worker`; what it prints goes to a file."""
        with (self.folder / f"{part}.log").open("ab") as output:
            process = psutil.Popen(
                [sys.executable, "-m", "tests.jobs.worker", part, *options],
                cwd=ROOT,
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        self.parts.append(process)
        return process

    def worker(self, *options: str, **environment: str) -> psutil.Popen:
        return self.start("worker", "-c", "2", *options, **environment)

    def relay(self) -> psutil.Popen:
        return self.start("relay")

    def log(self, part: str) -> str:
        file = self.folder / f"{part}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def kill(self, process: psutil.Popen) -> None:
        """SIGKILL for it and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.parts = [part for part in self.parts if part.pid != process.pid]

    async def close(self) -> None:
        for process in self.parts:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        await self.engine.dispose()

    async def ask(self, job: Job, **options: Any) -> UUID:
        async with self.sessions.begin() as db:
            return (await enqueue(db, job, **options)).id

    async def row(self, job: UUID) -> JobRow:
        async with self.sessions() as db:
            row = await db.get(JobRow, job)
            assert row
            return row

    async def until(self, job: UUID, *states: str, limit: float = LIMIT) -> JobRow:
        """The job when it has reached one of these states."""

        async def reached() -> JobRow | None:
            row = await self.row(job)
            return row if row.state in states else None

        return await eventually(reached, limit, lambda: f"{self.log('worker')}\n{self.log('relay')}")

    async def count(self, table: str, where: str = "true") -> int:
        async with self.sessions() as db:
            return await db.scalar(text(f"SELECT count(*) FROM {table} WHERE {where}")) or 0


async def eventually(
    ask: Callable[[], Awaitable[Any]], limit: float = LIMIT, explain: Callable[[], str] = str
) -> Any:
    """Ask until the answer is true, and give it."""
    deadline = time.monotonic() + limit
    while not (answer := await ask()):
        assert time.monotonic() < deadline, f"not within {limit} s\n{explain()}"
        await asyncio.sleep(0.05)
    return answer


@contextlib.contextmanager
def paused(process: psutil.Process) -> Iterator[None]:
    """SIGSTOP for it and its children; SIGCONT behind."""
    family = [process, *process.children(recursive=True)]
    for member in family:
        member.suspend()
    try:
        yield
    finally:
        for member in family:
            with contextlib.suppress(psutil.Error):
                member.resume()


async def die_after_commit(database: str) -> None:
    """An API process: commits a job and dies; another job is asked for and never committed."""
    plant = Plant(Path(), database, "")
    await plant.ask(Work())
    async with plant.sessions() as db:
        await enqueue(db, Work())
        os.kill(os.getpid(), signal.SIGKILL)
