"""The fault run: break one thing while jobs come in, then count. Seeded; 150 jobs for each fault in CI.

1,000 by hand: `python -m tests.jobs.faults 1000`.
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

import psutil
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from app.core.jobs import enqueue, states
from app.core.jobs.lease import AWAY
from devstack import launch
from devstack.files import state
from devstack.postgres import Postgres
from devstack.valkey import Valkey
from tests.jobs.kinds import Doomed, Work
from tests.jobs.plant import ROOT, Plant, eventually, paused

LEASE, PERIOD = 3.0, 0.3


class Engine:
    """A database or a broker that can be killed and started again in its folder."""

    def __init__(self, service: Postgres | Valkey) -> None:
        service.prepare()
        self.service, self.url = service, service.url
        self.log = service.folder / f"{service.name}.log"
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = launch.start(
                self.service.command,
                output,
                self.service.stop,
                self.service.identity,
                env=self.service.environment,
            )
        deadline = time.monotonic() + 60
        while not self.service.answers():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.wait(20)


@dataclass
class Report:
    """What one fault did."""

    fault: str
    jobs: int = 0
    succeeded: int = 0
    dead: int = 0
    cancelled: int = 0
    effects: int = 0
    lost: int = 0
    recovery: float = 0
    again: float = 0
    seconds: float = 0
    wrong: str = ""

    @staticmethod
    def header() -> str:
        names = ("fault", "committed", "succeeded", "dead", "cancelled", "effects", "lost attempts")
        return (
            "| " + " | ".join([*names, "recovery s", "running again s", "run s", ""]) + " |\n|" + "---|" * 11
        )

    def __str__(self) -> str:
        numbers = (self.jobs, self.succeeded, self.dead, self.cancelled, self.effects, self.lost)
        end = f"{self.recovery:.1f} | {self.again:.1f} | {self.seconds:.1f} | {self.wrong or 'ok'}"
        return f"| {self.fault} | {' | '.join(map(str, numbers))} | {end} |"


class Stage:
    """Two relays, two workers of two processes, a database and a broker of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plant: Plant | None = None
        self.reports: list[Report] = []
        self.postgres = Engine(Postgres(state(folder / "postgres")))
        self.brokers = {
            durable: Engine(Valkey(state(folder / f"valkey-{durable}"), durable=durable))
            for durable in (True, False)
        }
        alembic = Config(toml_file=ROOT / "pyproject.toml")
        alembic.attributes["url"] = self.postgres.url
        command.upgrade(alembic, "head")

    async def use(self, *, durable: bool) -> Plant:
        """The plant on the broker with or without persistence, all four processes up, nothing to do."""
        if self.plant is None or self.broker is not self.brokers[durable]:
            await self.stop()
            self.broker = self.brokers[durable]
            settings = {"LEASE_SECONDS": f"{LEASE}", "RELAY_SECONDS": f"{PERIOD}"}
            url = f"{self.broker.url}/0"
            self.plant = Plant(self.folder, self.postgres.url, url, WORKER_GRACE_SECONDS="1", **settings)
            await self.plant.prepare()
            self.relays = [self.plant.relay() for _ in range(2)]
            self.workers = [self.plant.worker() for _ in range(2)]
        for job in [await self.plant.ask(Work(seconds=0.3)) for _ in range(8)]:
            await self.plant.until(job, "succeeded", limit=90)
        async with self.plant.sessions.begin() as db:
            await db.execute(text("TRUNCATE jobs, job_attempts, effects, starts CASCADE"))
        return self.plant

    async def stop(self) -> None:
        if self.plant:
            await self.plant.close()

    def close(self) -> None:
        for engine in (self.postgres, *self.brokers.values()):
            engine.end(engine.service.stop)


Fault = Callable[[Stage, Plant, random.Random], Awaitable[None]]


async def kill_pool_children(stage: Stage, plant: Plant, chance: random.Random) -> None:
    for worker in stage.workers:
        for child in worker.children():
            child.kill()
        await asyncio.sleep(1)


async def kill_worker_tree(stage: Stage, plant: Plant, chance: random.Random) -> None:
    plant.kill(stage.workers.pop())
    stage.workers.append(plant.worker())


async def kill_relay(stage: Stage, plant: Plant, chance: random.Random) -> None:
    for relay in stage.relays:
        plant.kill(relay)
    await asyncio.sleep(0.5)
    stage.relays = [plant.relay() for _ in range(2)]


async def kill_api_after_commit(stage: Stage, plant: Plant, chance: random.Random) -> None:
    for _ in range(5):
        process = plant.start("api")
        assert await asyncio.to_thread(process.wait) == -signal.SIGKILL


async def kill_broker(stage: Stage, plant: Plant, chance: random.Random) -> None:
    stage.broker.end(signal.SIGKILL)
    await asyncio.sleep(1)
    await asyncio.to_thread(stage.broker.start)


async def stop_postgres_at_once(stage: Stage, plant: Plant, chance: random.Random) -> None:
    stage.postgres.end(signal.SIGQUIT)  # "immediate": no goodbye, recovery at the next start
    await asyncio.sleep(1)
    await asyncio.to_thread(stage.postgres.start)


async def freeze_worker(stage: Stage, plant: Plant, chance: random.Random) -> None:
    with paused(stage.workers[0]):
        await asyncio.sleep(LEASE + PERIOD + 2)


async def freeze_broker(stage: Stage, plant: Plant, chance: random.Random) -> None:
    with paused(psutil.Process(stage.broker.process.pid)):
        await asyncio.sleep(5)


async def freeze_database(stage: Stage, plant: Plant, chance: random.Random) -> None:
    with paused(psutil.Process(stage.postgres.process.pid)):
        await asyncio.sleep(LEASE + 1)


async def duplicate_messages(stage: Stage, plant: Plant, chance: random.Random) -> None:
    from app.core.jobs.broker import Broker

    broker = Broker(plant.as_settings())
    for _ in range(3):
        async with plant.sessions() as db:
            jobs = [(row, 60.0) for row in await db.scalars(text("SELECT id FROM jobs"))]
        await asyncio.to_thread(lambda jobs=jobs: list(broker.publish("default", jobs)))
        await asyncio.sleep(0.3)


async def roll_workers(stage: Stage, plant: Plant, chance: random.Random) -> None:
    for index, worker in enumerate(stage.workers):
        worker.send_signal(signal.SIGTERM)
        await asyncio.to_thread(worker.wait, 30)
        plant.parts.remove(worker)
        stage.workers[index] = plant.worker()
        await asyncio.sleep(1)


FAULTS: dict[str, tuple[Fault, bool, bool]] = {
    "kill -9 of pool children": (kill_pool_children, False, False),
    "kill -9 of a worker tree": (kill_worker_tree, False, False),
    "kill -9 of both relays": (kill_relay, False, True),
    "kill -9 of the API after commit": (kill_api_after_commit, False, False),
    "kill -9 of the broker, without persistence": (kill_broker, False, True),
    "PostgreSQL stopped at once": (stop_postgres_at_once, False, True),
    "SIGSTOP of a worker past its lease": (freeze_worker, False, False),
    "SIGSTOP of the broker, 5 s": (freeze_broker, False, True),
    "SIGSTOP of the database past all leases": (freeze_database, False, True),
    "messages duplicated": (duplicate_messages, False, False),
    "rolling SIGTERM under load": (roll_workers, False, False),
    "kill -9 of the broker, with persistence": (kill_broker, True, True),
}
"""What is broken; on a broker with persistence; whether nothing can go on until it is back."""


async def _write(plant: Plant, count: int, seed: int, done: list[UUID]) -> None:
    """Enqueue at some pace, cancel a few, come back after an outage."""
    chance = random.Random(seed)
    while len(done) < count:
        doomed, regret = chance.random() < 0.03, chance.random() < 0.05
        job = (
            Doomed()
            if doomed
            else Work(
                number=len(done),
                seconds=chance.choice([0, 0.02, 0.1, 0.3]),
                fail_until=2 if chance.random() < 0.05 else 0,
            )
        )
        with suppress(*AWAY):
            async with plant.sessions.begin() as db:
                row = await enqueue(db, job)
            done.append(row.id)
            if regret:
                async with plant.sessions.begin() as db:
                    await states.cancel(db, row.id)
        await asyncio.sleep(chance.uniform(0, 0.03))


async def run(stage: Stage, name: str, count: int, seed: int = 7) -> Report:
    """Break one thing in the middle of `count` jobs."""
    fault, durable, outage = FAULTS[name]
    report, chance = Report(name), random.Random(seed)
    plant = await stage.use(durable=durable)
    began, acknowledged = time.monotonic(), list[UUID]()
    writing = asyncio.create_task(_write(plant, count, seed, acknowledged))

    async def under_load() -> bool:
        return len(acknowledged) > count * 0.4

    async def all_done() -> bool:
        return await plant.count("jobs", "state IN ('queued', 'running')") == 0

    await eventually(under_load, 30 + count / 10)
    since = time.time()
    await fault(stage, plant, chance)
    if outage:
        since = time.time()
    await writing
    with suppress(AssertionError):
        await eventually(all_done, 60 + count / 10)
    report.seconds = time.monotonic() - began
    await _count(plant, report, acknowledged, since)
    stage.reports.append(report)
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
"""Until the last job that had lost its worker was first in the queue again, and until it ran (or, when
none had, until any job began): the latter also waits for a worker that is free.
"""


async def _count(plant: Plant, report: Report, acknowledged: list[UUID], since: float) -> None:
    report.jobs = await plant.count("jobs")
    report.succeeded, report.dead, report.cancelled = [
        await plant.count("jobs", f"state = '{state}'") for state in ("succeeded", "dead", "cancelled")
    ]
    report.effects = await plant.count("effects")
    report.lost = await plant.count("job_attempts", "outcome = 'lost'")
    async with plant.sessions() as db:
        found = (await db.execute(text(RECOVERY), {"since": since})).one()
    report.recovery, report.again = max(found[0] or 0, 0), found[1] or 0
    ids = ", ".join(f"'{job}'" for job in acknowledged)
    once = await plant.count("(SELECT DISTINCT job_id FROM effects) e")
    strange = await plant.count("effects e JOIN jobs j ON j.id = e.job_id", "j.state <> 'succeeded'")
    wrong = {
        "a committed job is missing": len(acknowledged) - await plant.count("jobs", f"id IN ({ids})"),
        "not all ended": report.jobs - report.succeeded - report.dead - report.cancelled,
        "effects differ from successes": report.effects - report.succeeded,
        "an effect happened twice": report.effects - once,
        "an effect without success": strange,
        "more attempts than allowed": await plant.count("jobs", "attempts > max_attempts"),
        f"recovery took longer than {LEASE + PERIOD + 5:g} s": report.recovery > LEASE + PERIOD + 5,
    }
    report.wrong = ", ".join(what for what, number in wrong.items() if number)


async def main(count: int) -> int:
    say = sys.stdout.write
    say(f"{count} jobs for each fault, lease {LEASE:g} s, relay period {PERIOD:g} s\n\n{Report.header()}\n")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        stage = await asyncio.to_thread(Stage, Path(folder))
        try:
            for name in FAULTS:
                report = await run(stage, name, count)
                failed += bool(report.wrong)
                say(f"{report}\n")
                sys.stdout.flush()
        finally:
            await stage.stop()
            stage.close()
    return failed


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]))))
