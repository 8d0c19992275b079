"""The fault run: break one thing while jobs come in, then count. Seeded; CI runs 150 jobs per fault.

To run more, call `python -m packages.saaskit.jobs.faults 1000` in the folder `tests`.
"""

import asyncio
import random
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from devstack import Postgres, Valkey, start_server
from packages.saaskit.jobs.job_system import JobSystem, eventually, paused
from packages.saaskit.jobs.kinds import Doomed, Work
from saaskit.jobs import enqueue, queries
from saaskit.jobs.broker import Broker
from saaskit.jobs.lease import DATABASE_ERRORS
from sqlalchemy import text

LEASE, PERIOD = 3.0, 0.3
OUTAGE = 1.0
"""Seconds between a kill and the restart, and between two kills."""


class Server:
    """A database or a broker that can be killed and started again with its data."""

    def __init__(self, server: Postgres | Valkey) -> None:
        self._server = server
        self.start()

    @property
    def url(self) -> str:
        return self._server.url

    def start(self) -> None:
        self.process = start_server(self._server)

    def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.wait(30)


@dataclass
class Report:
    """The outcome of one fault."""

    fault: str
    jobs: int = 0
    succeeded: int = 0
    dead: int = 0
    cancelled: int = 0
    effects: int = 0
    lost: int = 0
    recovery: float = 0
    running_again: float = 0
    seconds: float = 0
    wrong: str = ""

    @staticmethod
    def header() -> str:
        names = ("fault", "committed", "succeeded", "dead", "cancelled", "effects", "lost attempts")
        return "| " + " | ".join([*names, "recovery s", "running again s", "run s", ""]) + " |\n|" + "---|" * 11

    def __str__(self) -> str:
        numbers = (self.jobs, self.succeeded, self.dead, self.cancelled, self.effects, self.lost)
        end = f"{self.recovery:.1f} | {self.running_again:.1f} | {self.seconds:.1f} | {self.wrong or 'ok'}"
        return f"| {self.fault} | {' | '.join(map(str, numbers))} | {end} |"


class FaultRun:
    """Two relays, two workers of two processes, and a database and brokers of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.system: JobSystem | None = None
        self.reports: list[Report] = []
        self.postgres = Server(Postgres(folder / "postgres", durable=True))
        self.brokers = {
            durable: Server(Valkey(folder / f"valkey-{durable}", durable=durable)) for durable in (True, False)
        }

    async def use(self, *, durable: bool) -> JobSystem:
        """Return the idle system on the broker with or without persistence, all four processes running."""
        if self.system is None or self.broker is not self.brokers[durable]:
            await self.stop()
            self.broker = self.brokers[durable]
            settings = {"LEASE_SECONDS": f"{LEASE}", "RELAY_SECONDS": f"{PERIOD}"}
            url = f"{self.broker.url}/0"
            self.system = JobSystem(self.folder, self.postgres.url, url, WORKER_GRACE_SECONDS="1", **settings)
            await self.system.prepare()
            self.relays = [self.system.relay() for _ in range(2)]
            self.workers = [self.system.worker() for _ in range(2)]
        for job in [await self.system.enqueue(Work(seconds=0.3)) for _ in range(8)]:
            await self.system.wait_for(job, "succeeded", limit=90)
        async with self.system.sessionmaker.begin() as db:
            await db.execute(text("TRUNCATE jobs, job_attempts, effects, starts CASCADE"))
        return self.system

    async def stop(self) -> None:
        if self.system:
            await self.system.close()

    def close(self) -> None:
        for server in (self.postgres, *self.brokers.values()):
            server.end(signal.SIGINT)  # for PostgreSQL, SIGTERM would wait for its clients


Fault = Callable[[FaultRun, JobSystem], Awaitable[None]]


async def kill_pool_children(run: FaultRun, system: JobSystem) -> None:
    for worker in run.workers:
        for child in worker.children():
            child.kill()
        await asyncio.sleep(OUTAGE)


async def kill_worker_tree(run: FaultRun, system: JobSystem) -> None:
    system.kill(run.workers.pop())
    run.workers.append(system.worker())


async def kill_relay(run: FaultRun, system: JobSystem) -> None:
    for relay in run.relays:
        system.kill(relay)
    await asyncio.sleep(OUTAGE)
    run.relays = [system.relay() for _ in range(2)]


async def kill_api_after_commit(run: FaultRun, system: JobSystem) -> None:
    for _ in range(5):
        process = system.start("api")
        assert await asyncio.to_thread(process.wait) == -signal.SIGKILL


async def kill_broker(run: FaultRun, system: JobSystem) -> None:
    run.broker.end(signal.SIGKILL)
    await asyncio.sleep(OUTAGE)
    await asyncio.to_thread(run.broker.start)


async def stop_postgres_immediately(run: FaultRun, system: JobSystem) -> None:
    run.postgres.end(signal.SIGQUIT)  # an "immediate" shutdown: crash recovery at the next start
    await asyncio.sleep(OUTAGE)
    await asyncio.to_thread(run.postgres.start)


async def freeze_worker(run: FaultRun, system: JobSystem) -> None:
    with paused(run.workers[0].pid):
        await asyncio.sleep(LEASE + PERIOD + 2)


async def freeze_broker(run: FaultRun, system: JobSystem) -> None:
    with paused(run.broker.process.pid):
        await asyncio.sleep(5)


async def freeze_database(run: FaultRun, system: JobSystem) -> None:
    with paused(run.postgres.process.pid):
        await asyncio.sleep(LEASE + 1)


async def duplicate_messages(run: FaultRun, system: JobSystem) -> None:
    broker = Broker(system.settings())
    for _ in range(3):
        async with system.sessionmaker() as db:
            jobs = [(row, 60.0) for row in await db.scalars(text("SELECT id FROM jobs"))]
        await asyncio.to_thread(lambda jobs=jobs: list(broker.publish("default", jobs)))
        await asyncio.sleep(0.3)


async def roll_workers(run: FaultRun, system: JobSystem) -> None:
    for index, worker in enumerate(run.workers):
        worker.send_signal(signal.SIGTERM)
        await asyncio.to_thread(worker.wait, 30)
        system.processes.remove(worker)
        run.workers[index] = system.worker()
        await asyncio.sleep(OUTAGE)


FAULTS: dict[str, tuple[Fault, bool, bool]] = {
    "kill -9 of pool children": (kill_pool_children, False, False),
    "kill -9 of a worker tree": (kill_worker_tree, False, False),
    "kill -9 of both relays": (kill_relay, False, True),
    "kill -9 of the API after commit": (kill_api_after_commit, False, False),
    "kill -9 of the broker, without persistence": (kill_broker, False, True),
    "PostgreSQL stopped immediately": (stop_postgres_immediately, False, True),
    "SIGSTOP of a worker past its lease": (freeze_worker, False, False),
    "SIGSTOP of the broker, 5 s": (freeze_broker, False, True),
    "SIGSTOP of the database past all leases": (freeze_database, False, True),
    "messages duplicated": (duplicate_messages, False, False),
    "rolling SIGTERM under load": (roll_workers, False, False),
    "kill -9 of the broker, with persistence": (kill_broker, True, True),
}
"""Per fault: the function, whether the broker is persistent, whether no job can run during the outage."""


async def _write(system: JobSystem, count: int, seed: int, done: list[UUID]) -> None:
    """Enqueue jobs at some pace and cancel a few; continue after an outage."""
    chance = random.Random(seed)  # noqa: S311 (repeatable)
    while len(done) < count:
        doomed, cancelled = chance.random() < 0.03, chance.random() < 0.05
        job = (
            Doomed()
            if doomed
            else Work(
                number=len(done),
                seconds=chance.choice([0, 0.02, 0.1, 0.3]),
                fail_until=2 if chance.random() < 0.05 else 0,
            )
        )
        with suppress(*DATABASE_ERRORS):
            async with system.sessionmaker.begin() as db:
                row = await enqueue(db, job)
            done.append(row.id)
            if cancelled:
                async with system.sessionmaker.begin() as db:
                    await queries.cancel(db, row.id)
        await asyncio.sleep(chance.uniform(0, 0.03))


async def break_one(run: FaultRun, name: str, count: int, seed: int = 7) -> Report:
    """Break one thing in the middle of `count` jobs."""
    fault, durable, outage = FAULTS[name]
    report = Report(name)
    system = await run.use(durable=durable)
    started, acknowledged = time.monotonic(), list[UUID]()
    writing = asyncio.create_task(_write(system, count, seed, acknowledged))

    async def under_load() -> bool:
        return len(acknowledged) > count * 0.4

    async def all_done() -> bool:
        return await system.count("jobs", "state IN ('queued', 'running')") == 0

    await eventually(under_load, 30 + count / 10)
    since = time.time()
    await fault(run, system)
    if outage:
        since = time.time()
    await writing
    with suppress(AssertionError):
        await eventually(all_done, 60 + count / 10)
    report.seconds = time.monotonic() - started
    await _count(system, report, acknowledged, since)
    run.reports.append(report)
    return report


RECOVERY = """
SELECT max(extract(epoch FROM finished_at) - greatest(extract(epoch FROM started_at), :since))::float,
    greatest(max(extract(epoch FROM next) - greatest(extract(epoch FROM started_at), :since)), (
        SELECT min(extract(epoch FROM started_at)) - :since FROM job_attempts
        WHERE extract(epoch FROM started_at) > :since), 0)::float
FROM (SELECT started_at, finished_at, outcome,
        lead(started_at) OVER (PARTITION BY job_id ORDER BY started_at) AS next FROM job_attempts) attempt
WHERE outcome = 'lost'
"""
"""Seconds until the last job that lost its worker was queued again, and until it ran again. If no job lost its
worker, the latter is the time until any job started. It includes the wait for a free worker.
"""


async def _count(system: JobSystem, report: Report, acknowledged: list[UUID], since: float) -> None:
    report.jobs = await system.count("jobs")
    report.succeeded, report.dead, report.cancelled = [
        await system.count("jobs", f"state = '{state}'") for state in ("succeeded", "dead", "cancelled")
    ]
    report.effects = await system.count("effects")
    report.lost = await system.count("job_attempts", "outcome = 'lost'")
    async with system.sessionmaker() as db:
        found = (await db.execute(text(RECOVERY), {"since": since})).one()
    report.recovery, report.running_again = max(found[0] or 0, 0), found[1] or 0
    ids = ", ".join(f"'{job}'" for job in acknowledged)
    once = await system.count("(SELECT DISTINCT job_id FROM effects) e")
    unexplained = await system.count("effects e JOIN jobs j ON j.id = e.job_id", "j.state <> 'succeeded'")
    wrong = {
        "a committed job is missing": len(acknowledged) - await system.count("jobs", f"id IN ({ids})"),
        "not all ended": report.jobs - report.succeeded - report.dead - report.cancelled,
        "effects differ from successes": report.effects - report.succeeded,
        "an effect happened twice": report.effects - once,
        "an effect without success": unexplained,
        "more attempts than allowed": await system.count("jobs", "attempts > max_attempts"),
        f"recovery took longer than {LEASE + PERIOD + 5:g} s": report.recovery > LEASE + PERIOD + 5,
    }
    report.wrong = ", ".join(problem for problem, number in wrong.items() if number)


async def main(count: int) -> int:
    say = sys.stdout.write
    say(f"{count} jobs for each fault, lease {LEASE:g} s, relay period {PERIOD:g} s\n\n{Report.header()}\n")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        run = await asyncio.to_thread(FaultRun, Path(folder))
        try:
            for name in FAULTS:
                report = await break_one(run, name, count)
                failed += bool(report.wrong)
                say(f"{report}\n")
                sys.stdout.flush()
        finally:
            await run.stop()
            run.close()
    return failed


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]))))
