"""The costs and guarantees of the cache and the proxy: stampedes, hits, outages, streams.

    uv run --project "{{cookiecutter.project_slug}}" python benchmarks/cache/bench.py [section …]

Sections: stampede, hits, outage, relay. Valkey and all servers are started here, on loopback. Variants that are
compared run interleaved in one run. CPU is user + system time. The exit status is 1 if a goal is missed.
"""

import argparse
import asyncio
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"
sys.path[:0] = [str(PROJECT.parent / "tests"), str(PROJECT), str(Path(__file__).parent)]
os.environ.setdefault("ENVIRONMENT", "test")
os.chdir(PROJECT)

from burst import number  # noqa: E402
from devstack import run_valkey  # noqa: E402
from packages.saaskit.cache.support import proxied  # noqa: E402
from redis.asyncio import Redis  # noqa: E402
from saaskit.cache import connect  # noqa: E402
from saaskit.testing import delayed, respond, upstream_server  # noqa: E402

MISSED: list[str] = []
WORKERS, CALLERS = 4, 200


def row(what: str, seen: str, goal: str, met: bool) -> None:
    print(f"  {what:<58} {seen:>22}   {goal:<14} {'ok' if met else 'MISSED'}", flush=True)
    if not met:
        MISSED.append(what)


async def commands(redis: Redis) -> int:
    """Return how many commands the server has run, without those of connections and of this query."""
    stats = await redis.info("commandstats")
    quiet = ("info", "hello", "auth", "select", "ping", "client|setinfo", "flushdb", "eval")
    # A script counts with the commands inside of it: those are what the server does.
    return sum(value["calls"] for name, value in stats.items() if name.removeprefix("cmdstat_") not in quiet)


async def stampede(url: str) -> None:
    print(f"Stampede: {WORKERS} processes, {CALLERS} callers each, an upstream that takes 50 ms")
    async with upstream_server() as source, Redis.from_url(url) as redis:
        source["/v1/value"] = delayed(0.05, respond('{"n": 1}'))
        bursts = [
            await asyncio.create_subprocess_exec(
                sys.executable, str(Path(__file__).with_name("burst.py")), url, source.url,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )
            for _ in range(WORKERS)
        ]  # fmt: skip

        async def phase(name: str) -> tuple[int, int, list[float], int]:
            asked, ran = len(source.requests), await commands(redis)
            for burst in bursts:
                assert burst.stdin
                burst.stdin.write(f"{name}\n".encode())
            lines = [await burst.stdout.readline() for burst in bursts if burst.stdout]
            spread, errors = [], 0
            for line in lines:
                first, *rest = line.split()
                errors, spread = errors + int(first), [*spread, *map(float, rest)]
            await asyncio.sleep(0.4)
            return len(source.requests) - asked, await commands(redis) - ran, sorted(spread), errors

        def p(spread: list[float], share: float) -> float:
            return spread[min(len(spread) - 1, int(len(spread) * share))]

        await phase("warm")
        calls, ran, spread, errors = await phase("cold")
        row("cold: upstream calls", f"{calls}", "= 1", calls == 1)
        row("cold: server commands", f"{ran}", "<= 100", ran <= 100)
        row("cold: errors; p50, p99 ms", f"{errors}; {p(spread, 0.5):.0f}, {p(spread, 0.99):.0f}", "0", not errors)
        await asyncio.sleep(2.1)
        calls, ran, spread, errors = await phase("stale")
        row("past revalidate: upstream calls", f"{calls}", "= 1", calls == 1)
        row(
            "past revalidate: p50, p99 ms",
            f"{p(spread, 0.5):.0f}, {p(spread, 0.99):.0f}",
            "p99 <= 50",
            p(spread, 0.99) <= 50,
        )
        source["/v1/value"] = respond(status=500)
        await asyncio.sleep(2.1)
        errors = sum([(await phase("down"))[3] for _ in range(3)])
        row("upstream down inside the window: errors", f"{errors} of {3 * WORKERS * CALLERS}", "0", not errors)
        for burst in bursts:
            burst.terminate()
            await burst.wait()


async def hits(url: str) -> None:
    print("Hits: CPU us per call, one caller, 730 bytes of JSON, median of 7 interleaved rounds")
    from burst import VALUE
    from pydantic import TypeAdapter

    adapter, client = TypeAdapter(type(VALUE)), Redis.from_url(url)
    await client.set("bare", adapter.dump_json(VALUE))

    async def bare() -> None:
        adapter.validate_json(await client.get("bare") or b"")

    async with connect(url) as store:
        from burst import local, remote, tagged

        def without_memory(call: Callable) -> Callable:
            """Call it as a process that has no entry in memory, which has to name the key and to decode."""

            async def fresh() -> None:
                store.memory.entries.clear()
                store.memory.bytes = 0
                await call()

            return fresh

        kinds: dict[str, tuple[Callable, int]] = {
            "bare": (bare, 2000), "local": (local, 40000), "again": (remote, 2000),
            "remote": (without_memory(remote), 2000), "tagged": (without_memory(tagged), 2000),
        }  # fmt: skip
        took: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(8):
            for name, (call, times) in kinds.items():
                started = time.process_time()
                for _ in range(times):
                    await call()
                took[name].append((time.process_time() - started) / times * 1e6)
        us = {name: statistics.median(each[1:]) for name, each in took.items()}
        spread = {name: f"{min(each[1:]):.1f}-{max(each[1:]):.1f}" for name, each in took.items()}
        row("redis-py GET + decode, us", f"{us['bare']:.1f} ({spread['bare']})", "", True)
        ratio = us["bare"] / us["local"]
        row("hit in the process, us", f"{us['local']:.2f} ({spread['local']})", "", True)
        row("  GET + decode / hit in the process", f"{ratio:.0f} x", ">= 50 x", ratio >= 50)
        ratio = us["remote"] / us["bare"]
        row("hit in Valkey, with the entry in memory, us", f"{us['again']:.1f} ({spread['again']})", "", True)
        row("hit in Valkey, us", f"{us['remote']:.1f} ({spread['remote']})", "", True)
        row("  hit in Valkey / GET + decode", f"{ratio:.2f} x", "<= 1.3 x", ratio <= 1.3)
        row("  with one tag (two versions more to read)", f"{us['tagged'] / us['bare']:.2f} x", "", True)
    await client.aclose()


async def lateness(times: int) -> list[float]:
    """Milliseconds of so many calls, twenty a second, each for a key of its own."""
    late_by = []
    for count in range(times):
        started = time.perf_counter()
        await number(f"new-{count}")
        late_by.append((time.perf_counter() - started) * 1000)
        await asyncio.sleep(0.05)
    return late_by


async def outage(folder: Path) -> None:
    print("Outage of Valkey: how late a caller is, ms")
    for seconds in (0.06, 0.15):
        with run_valkey(folder / str(seconds)) as base:
            async with proxied(base) as proxy, connect(f"{proxy.url}/0"):
                await number("warm")
                proxy.delay = seconds
                late_by = await lateness(20)
                name = f"SLOW by {seconds * 1000:.0f} ms"
                row(f"{name}: first call", f"{late_by[0]:.0f}", "<= 600", late_by[0] <= 600)
                row(
                    f"{name}: slowest of the next 19, in 1 s",
                    f"{max(late_by[1:]):.1f}",
                    "<= 50",
                    max(late_by[1:]) <= 50,
                )
    for blow in (signal.SIGKILL, signal.SIGSTOP):
        with run_valkey(folder / blow.name) as base:
            pid = int((folder / blow.name / "valkey/pid").read_text())
            async with connect(f"{base}/0") as store:
                await number("warm")
                os.kill(pid, blow)
                late_by = await lateness(50)
                os.kill(pid, signal.SIGCONT) if blow == signal.SIGSTOP else None
                row(f"{blow.name}: first call", f"{late_by[0]:.0f}", "<= 600", late_by[0] <= 600)
                row(
                    f"{blow.name}: slowest of the next 49, in 2.5 s",
                    f"{max(late_by[1:]):.1f}",
                    "<= 50",
                    max(late_by[1:]) <= 50,
                )
                if blow == signal.SIGSTOP:
                    back = time.perf_counter()
                    while store.backend.connection.state != "available" and time.perf_counter() - back < 10:
                        await number("again")
                        await asyncio.sleep(0.05)
                    row(
                        "SIGCONT: used again after",
                        f"{(time.perf_counter() - back) * 1000:.0f}",
                        "<= 2000",
                        store.backend.connection.state == "available",
                    )


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sections", nargs="*")
    chosen = parser.parse_args()
    wanted = chosen.sections or ["stampede", "hits", "outage", "relay"]
    with tempfile.TemporaryDirectory() as name, run_valkey(Path(name) / "main") as base:
        if "stampede" in wanted:
            await stampede(f"{base}/1")
        if "hits" in wanted:
            await hits(f"{base}/2")
        if "outage" in wanted:
            await outage(Path(name))
        if "relay" in wanted:
            import relay

            await relay.compare(row)
    print(f"missed: {', '.join(MISSED)}" if MISSED else "all goals met")
    sys.exit(bool(MISSED))


if __name__ == "__main__":
    asyncio.run(main())
