"""What jobs cost, as ratios from one run on engines of its own; nothing but this should be running.

uv run --project "{{cookiecutter.project_slug}}" python benchmarks/jobs/bench.py
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

os.environ["ENVIRONMENT"] = "test"

import httpx2
import psutil
from app.core.db import create_engine, create_sessions
from app.core.jobs import enqueue, states
from app.core.jobs.broker import Broker
from app.core.jobs.enqueue import _values, new_id
from app.core.jobs.relay import Relay
from app.main import create_app
from app.models.jobs import JobRow
from redis import Redis
from sqlalchemy import insert, text
from tests.factories import add_user, signed_in
from tests.jobs.faults import Stage
from tests.jobs.kinds import Stroll, Work
from tests.jobs.plant import Plant, eventually, paused

ROUNDS, OPERATIONS = 7, 150
HERE = Path(__file__).parent


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


async def enqueuing(plant: Plant) -> None:
    """Begin, write, commit: with enqueue, and with the INSERT alone."""
    job = Work(number=1)

    async def ours() -> None:
        async with plant.sessions.begin() as db:
            await enqueue(db, job)

    async def bare() -> None:
        async with plant.sessions.begin() as db:
            await db.execute(insert(JobRow).values(id=new_id(), **values))

    values = _values(job, None)
    found: dict[str, list[tuple[float, float]]] = {"ours": [], "bare": []}
    for _ in range(ROUNDS):
        found["bare"].append(await timed(bare))
        found["ours"].append(await timed(ours))
    wall, cpu = ([statistics.median(pair[i] for pair in found[name]) for name in found] for i in (0, 1))
    row("enqueue, wall (bare INSERT)", f"{ms(wall[0])} ({ms(wall[1])})", f"{wall[0] / wall[1]:.2f}", "≤ 2")
    row("enqueue, CPU (bare INSERT)", f"{ms(cpu[0])} ({ms(cpu[1])})", f"{cpu[0] / cpu[1]:.2f}", "≤ 2")


async def relaying(plant: Plant) -> None:
    """A backlog of 5,000, published by one relay in one round: with its window opened, for nobody takes any."""
    settings = plant.as_settings()
    async with plant.sessions.begin() as db:
        await db.execute(text("TRUNCATE jobs CASCADE"))
        await db.execute(
            text(
                "INSERT INTO jobs (id, kind, version, payload, queue, priority, max_attempts)"
                " SELECT gen_random_uuid(), 'work', 1, '{}', 'nobody', 5, 1 FROM generate_series(1, 5000)"
            )
        )
    relay = Relay(settings, Broker(settings), window=5000)
    began = time.perf_counter()
    await relay.once()
    rate = 5000 / (time.perf_counter() - began)
    waiting = relay.broker.waiting("nobody")
    await relay.engine.dispose()
    async with plant.sessions.begin() as db:
        await db.execute(text("TRUNCATE jobs CASCADE"))
    row("relay, jobs/s (messages in the broker)", f"{rate:.0f} ({waiting})", "", "≥ 500")


async def latency(plant: Plant) -> None:
    """One no-op after the other, from its enqueue to its end; beside delay() from call to execution."""
    redis = Redis.from_url(plant.broker)
    broker = Broker(plant.as_settings())
    ours: list[float] = []
    plain: list[float] = []
    for number in range(220):
        job = await plant.ask(Work())
        ended = await plant.until(job, "succeeded")
        broker.celery.send_task("plain", [time.time()], queue="default")
        took = await asyncio.to_thread(redis.blpop, ["plain-took"], 10)
        if number >= 20:  # warm
            ours.append((ended.finished_at - ended.created_at).total_seconds())
            plain.append(float(took[1]))
    text = [f"{ms(percentile(values, 0.5))} / {ms(percentile(values, 0.95))}" for values in (ours, plain)]
    ratio = f"{percentile(ours, 0.5) / percentile(plain, 0.5):.1f}"
    row("no-op job, p50 / p95 (plain delay())", f"{text[0]} ({text[1]})", ratio, "p50 ≤ 100 ms")


async def cancelling(plant: Plant) -> None:
    """From the request to the state `cancelled`, for a job that calls progress."""
    took = []
    for _ in range(10):
        job = await plant.ask(Stroll(steps=5000, pace=0.02))

        async def strolling(job: object = job) -> bool:
            return (await plant.row(job)).progress > 0  # type: ignore[arg-type]

        await eventually(strolling)
        began = time.perf_counter()
        async with plant.sessions.begin() as db:
            await states.cancel(db, job)
        await plant.until(job, "cancelled")
        took.append(time.perf_counter() - began)
    row("cancel, p50 / slowest of 10", f"{ms(statistics.median(took))} / {ms(max(took))}", "", "≤ 2 s")


async def black_hole(plant: Plant, stage: Stage) -> None:
    """POST /api/exports in this process, with a broker that answers and with one that is frozen."""
    app = create_app(plant.as_settings().model_copy(update={"log_level": "error"}))
    engine = create_engine(plant.database, pool_size=5)
    app.state.sessions = create_sessions(engine)
    stalls: list[float] = []

    async def watch() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            stalls.append(time.perf_counter() - began - 0.005)

    found: dict[bool, list[float]] = {True: [], False: []}
    worst = dict.fromkeys(found, 0.0)
    watching = asyncio.create_task(watch())
    async with app.state.sessions() as db:
        cookies = await signed_in(db, await add_user(db))
    own = {"base_url": "https://test", "headers": {"origin": app.state.settings.origin}, "cookies": cookies}
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), **own) as client:

        async def requests(count: int) -> list[float]:
            took = []
            for _ in range(count):
                began = time.perf_counter()
                answer = await client.post("/api/exports", json={"resource": "posts"})
                took.append(time.perf_counter() - began)
                assert answer.status_code == 202
                await asyncio.sleep(0.005)
            return took

        async def part(frozen: bool) -> None:
            stalls.clear()
            found[frozen] += await requests(200)
            worst[frozen] = max(worst[frozen], *stalls)

        await requests(50)
        for _ in range(4):
            await part(False)
            with paused(psutil.Process(stage.broker.process.pid)):
                await part(True)
    watching.cancel()
    await engine.dispose()
    p99 = {frozen: percentile(values, 0.99) for frozen, values in found.items()}
    cell = f"{ms(p99[True])} ({ms(p99[False])})"
    row("request p99, broker frozen (not)", cell, f"{p99[True] / p99[False]:.2f}", "≤ 2")
    row("longest stall of the loop (not frozen)", f"{ms(worst[True])} ({ms(worst[False])})", "", "≤ 50 ms")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        stage = await asyncio.to_thread(Stage, Path(folder))
        stage.broker = stage.brokers[False]
        plant = Plant(Path(folder), stage.postgres.url, f"{stage.broker.url}/0", LOG_LEVEL="warning")
        await plant.prepare()
        row("what", "measured", "ratio", "goal")
        row("---", "---", "---", "---")
        try:
            await enqueuing(plant)
            await relaying(plant)
            plant.relay()
            with (Path(folder) / "worker.log").open("ab") as output:
                command = [sys.executable, str(HERE / "worker.py"), "-c", "2"]
                worker = psutil.Popen(
                    command, env=plant.environment, stdout=output, stderr=subprocess.STDOUT, process_group=0
                )
            plant.parts.append(worker)
            await plant.until(await plant.ask(Work()), "succeeded", limit=60)
            await latency(plant)
            await cancelling(plant)
            await black_hole(plant, stage)
        finally:
            await plant.close()
            stage.close()


asyncio.run(main())
