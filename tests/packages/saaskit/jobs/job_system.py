"""Relays and workers as separate processes, on a database and a broker that a test may break."""

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
from packages.saaskit.jobs.kinds import TABLES, Work
from saaskit.db import Base, create_engine, create_sessionmaker
from saaskit.jobs import Job, JobRecord, enqueue
from saaskit.settings import Settings
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

ROOT = Path(__file__).parents[3]
"""The folder `tests`, from which processes import `packages.saaskit.jobs`."""
LIMIT = 40.0


class JobSystem:
    """Starts processes, enqueues jobs, and waits for their states."""

    def __init__(self, folder: Path, database: str, broker: str, **settings: str) -> None:
        self.folder, self.database, self.broker = folder, database, broker
        defaults = {"LEASE_SECONDS": "3", "RELAY_SECONDS": "0.3", "WORKER_GRACE_SECONDS": "2"}
        self._settings = defaults | settings
        self.environment = {
            **os.environ,
            **self._settings,
            "ENVIRONMENT": "test",
            "DATABASE_URL": database,
            "REDIS_URL": broker,
            "CELERY_BROKER_URL": broker,
            "PYTHONPATH": str(ROOT),
        }
        self.processes: list[psutil.Popen] = []
        self.engine: AsyncEngine = create_engine(database, pool_size=5, pre_ping=True)
        self.sessionmaker = create_sessionmaker(self.engine)

    def settings(self) -> Settings:
        """Return the settings of the processes, for objects in the test's own process."""
        names = {name.lower(): value for name, value in self._settings.items()}
        urls = {"database_url": self.database, "redis_url": self.broker, "celery_broker_url": self.broker}
        return Settings.model_validate({"environment": "test", **urls, **names})

    async def prepare(self) -> None:
        """Create the tables."""
        async with self.engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
            for statement in TABLES:
                await connection.execute(text(statement))

    def start(self, part: str, *options: str, **environment: str) -> psutil.Popen:
        """Start a `relay` or a `worker`. Its output goes to a file."""
        with (self.folder / f"{part}.log").open("ab") as output:
            process = psutil.Popen(
                [sys.executable, "-m", "packages.saaskit.jobs.worker", part, *options],
                cwd=ROOT,
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        self.processes.append(process)
        return process

    def worker(self, *options: str, **environment: str) -> psutil.Popen:
        return self.start("worker", "-c", "2", *options, **environment)

    def relay(self) -> psutil.Popen:
        return self.start("relay")

    def log(self, part: str) -> str:
        file = self.folder / f"{part}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def logs(self) -> str:
        return "\n".join(self.log(part) for part in ("worker", "relay"))

    def kill(self, process: psutil.Popen) -> None:
        """Kill the process and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.processes = [other for other in self.processes if other.pid != process.pid]

    async def close(self) -> None:
        for process in list(self.processes):
            self.kill(process)
        await self.engine.dispose()

    async def enqueue(self, job: Job, **options: Any) -> UUID:
        async with self.sessionmaker.begin() as db:
            return (await enqueue(db, job, **options)).id

    async def get(self, job: UUID) -> JobRecord:
        async with self.sessionmaker() as db:
            row = await db.get(JobRecord, job)
            assert row
            return row

    async def wait_for(self, job: UUID, *states: str, limit: float = LIMIT) -> JobRecord:
        """Return the job once it is in one of these states."""

        async def reached() -> JobRecord | None:
            row = await self.get(job)
            return row if row.state in states else None

        return await eventually(reached, limit, self.logs)

    async def count(self, table: str, where: str = "true") -> int:
        async with self.sessionmaker() as db:
            statement = text(f"SELECT count(*) FROM {table} WHERE {where}")  # noqa: S608 (constant text)
            return await db.scalar(statement) or 0


async def eventually(
    check: Callable[[], Awaitable[Any]], limit: float = LIMIT, explain: Callable[[], str] = str
) -> Any:
    """Repeat the check until its result is true, and return the result."""
    deadline = time.monotonic() + limit
    while not (result := await check()):
        assert time.monotonic() < deadline, f"not within {limit} s\n{explain()}"
        await asyncio.sleep(0.05)
    return result


@contextlib.contextmanager
def paused(pid: int) -> Iterator[None]:
    """Stop a process and its children (SIGSTOP); continue them at the end."""
    process = psutil.Process(pid)
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
    """Act as an API process that commits a job, inserts another, and dies before its commit."""
    system = JobSystem(Path(), database, "")
    await system.enqueue(Work())
    async with system.sessionmaker() as db:
        await enqueue(db, Work())
        os.kill(os.getpid(), signal.SIGKILL)
