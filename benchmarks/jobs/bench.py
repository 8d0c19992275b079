"""The costs of jobs, as ratios from one run on servers of its own. Run nothing else meanwhile.

uv run --project "{{cookiecutter.project_slug}}" python benchmarks/jobs/bench.py
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Annotated
from uuid import UUID, uuid4

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

import httpx2  # noqa: E402
import psutil  # noqa: E402
from fastapi import Depends, FastAPI  # noqa: E402
from packages.saaskit.jobs.faults import FaultRun  # noqa: E402
from packages.saaskit.jobs.job_system import JobSystem, eventually, paused  # noqa: E402
from packages.saaskit.jobs.kinds import Stroll, Work  # noqa: E402
from redis import Redis  # noqa: E402
from saaskit.jobs import JobRecord, enqueue, queries  # noqa: E402
from saaskit.jobs.broker import Broker  # noqa: E402
from saaskit.jobs.relay import Relay  # noqa: E402
from sqlalchemy import insert, text  # noqa: E402
from sqlalchemy.ext.asyncio import AsyncSession  # noqa: E402

ROUNDS, OPERATIONS = 7, 150


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


async def timed(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(OPERATIONS):
        await work()
    return (time.perf_counter() - wall) / OPERATIONS, (time.process_time() - cpu) / OPERATIONS


async def enqueuing(system: JobSystem) -> None:
    """One transaction with `enqueue`, and one with the INSERT alone."""
    job = Work(number=1)
    stored = await system.get(await system.enqueue(job))
    names = ("kind", "version", "payload", "queue", "priority", "max_attempts")
    values = {name: getattr(stored, name) for name in names}

    async def with_enqueue() -> None:
        async with system.sessionmaker.begin() as db:
            await enqueue(db, job)

    async def bare() -> None:
        async with system.sessionmaker.begin() as db:
            await db.execute(insert(JobRecord).values(id=uuid4(), **values))

    found: dict[str, list[tuple[float, float]]] = {"enqueue": [], "bare": []}
    for _ in range(ROUNDS):
        found["bare"].append(await timed(bare))
        found["enqueue"].append(await timed(with_enqueue))
    wall, cpu = ([statistics.median(pair[i] for pair in found[name]) for name in found] for i in (0, 1))
    row("enqueue, wall (bare INSERT)", f"{ms(wall[0])} ({ms(wall[1])})", f"{wall[0] / wall[1]:.2f}", "≤ 2")
    row("enqueue, CPU (bare INSERT)", f"{ms(cpu[0])} ({ms(cpu[1])})", f"{cpu[0] / cpu[1]:.2f}", "≤ 2")


async def relaying(system: JobSystem) -> None:
    """A backlog of 5,000, published by one relay in one round. The window is that large; no worker runs."""
    settings = system.settings()
    async with system.sessionmaker.begin() as db:
        await db.execute(text("TRUNCATE jobs CASCADE"))
        await db.execute(
            text(
                "INSERT INTO jobs (id, kind, version, payload, queue, priority, max_attempts)"
                " SELECT gen_random_uuid(), 'work', 1, '{}', 'unread', 5, 1 FROM generate_series(1, 5000)"
            )
        )
    relay = Relay(settings, Broker(settings), window=5000)
    began = time.perf_counter()
    await relay.run_once()
    rate = 5000 / (time.perf_counter() - began)
    waiting = relay.broker.message_count("unread")
    await relay.close()
    async with system.sessionmaker.begin() as db:
        await db.execute(text("TRUNCATE jobs CASCADE"))
    row("relay, jobs/s (messages in the broker)", f"{rate:.0f} ({waiting})", "", "≥ 500")


async def latency(system: JobSystem) -> None:
    """No-op jobs, one after the other, from `enqueue` to the end; beside it `delay()` from call to execution."""
    redis = Redis.from_url(system.broker)
    broker = Broker(system.settings())
    ours: list[float] = []
    plain: list[float] = []
    for number in range(220):
        job = await system.enqueue(Work())
        finished = await system.wait_for(job, "succeeded")
        broker.celery.send_task("plain", [time.time()], queue="default")
        took = await asyncio.to_thread(redis.blpop, ["plain-took"], 10)
        assert took and finished.finished_at
        if number >= 20:  # warm
            ours.append((finished.finished_at - finished.created_at).total_seconds())
            plain.append(float(took[1]))
    text = [f"{ms(percentile(values, 0.5))} / {ms(percentile(values, 0.95))}" for values in (ours, plain)]
    ratio = f"{percentile(ours, 0.5) / percentile(plain, 0.5):.1f}"
    row("no-op job, p50 / p95 (plain delay())", f"{text[0]} ({text[1]})", ratio, "p50 ≤ 100 ms")


async def cancelling(system: JobSystem) -> None:
    """From the request to the state `cancelled`, for a job that calls progress."""
    took = []
    for _ in range(10):
        job = await system.enqueue(Stroll(steps=5000, pace=0.02))

        async def has_progress(job: UUID = job) -> bool:
            return (await system.get(job)).progress > 0

        await eventually(has_progress)
        began = time.perf_counter()
        async with system.sessionmaker.begin() as db:
            await queries.cancel(db, job)
        await system.wait_for(job, "cancelled")
        took.append(time.perf_counter() - began)
    row("cancel, p50 / slowest of 10", f"{ms(statistics.median(took))} / {ms(max(took))}", "", "≤ 2 s")


async def black_hole(system: JobSystem, run: FaultRun) -> None:
    """POST requests that enqueue, in this process, while the broker works and while it is frozen."""
    app = FastAPI()

    async def transaction() -> AsyncIterator[AsyncSession]:
        async with system.sessionmaker.begin() as db:
            yield db

    @app.post("/jobs", status_code=202)
    async def post(db: Annotated[AsyncSession, Depends(transaction, scope="function")]) -> UUID:
        return (await enqueue(db, Work())).id

    stalls: list[float] = []

    async def watch() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            stalls.append(time.perf_counter() - began - 0.005)

    found: dict[bool, list[float]] = {True: [], False: []}
    worst = dict.fromkeys(found, 0.0)
    watching = asyncio.create_task(watch())
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(base_url="http://test", transport=transport) as client:

        async def requests(count: int) -> list[float]:
            took = []
            for _ in range(count):
                began = time.perf_counter()
                response = await client.post("/jobs")
                took.append(time.perf_counter() - began)
                assert response.status_code == 202
                await asyncio.sleep(0.005)
            return took

        async def part(frozen: bool) -> None:
            stalls.clear()
            found[frozen] += await requests(200)
            worst[frozen] = max(worst[frozen], *stalls)

        await requests(50)
        for _ in range(4):
            await part(False)
            with paused(run.broker.process.pid):
                await part(True)
    watching.cancel()
    p99 = {frozen: percentile(values, 0.99) for frozen, values in found.items()}
    cell = f"{ms(p99[True])} ({ms(p99[False])})"
    row("request p99, broker frozen (not)", cell, f"{p99[True] / p99[False]:.2f}", "≤ 2")
    row("longest stall of the loop (not frozen)", f"{ms(worst[True])} ({ms(worst[False])})", "", "≤ 50 ms")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = await asyncio.to_thread(FaultRun, Path(folder))
        run.broker = run.brokers[False]
        system = JobSystem(Path(folder), run.postgres.url, f"{run.broker.url}/0", LOG_LEVEL="warning")
        await system.prepare()
        row("what", "measured", "ratio", "goal")
        row("---", "---", "---", "---")
        try:
            await enqueuing(system)
            await relaying(system)
            system.relay()
            with (Path(folder) / "worker.log").open("ab") as output:
                command = [sys.executable, str(HERE / "worker.py"), "-c", "2"]
                worker = psutil.Popen(
                    command, env=system.environment, stdout=output, stderr=subprocess.STDOUT, process_group=0
                )
            system.processes.append(worker)
            await system.wait_for(await system.enqueue(Work()), "succeeded", limit=60)
            await latency(system)
            await cancelling(system)
            await black_hole(system, run)
        finally:
            await system.close()
            run.close()


asyncio.run(main())
