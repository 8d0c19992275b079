"""The streaming proxy compared with a bare one: the same server and httpx2, without limits, breaker and checks."""

import asyncio
import os
import socket
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import psutil
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from saaskit.testing import UpstreamServer, flood, respond, response_head, upstream_server

MIB = 1024 * 1024
HERE = Path(__file__).parent
PROJECT = HERE.parents[1] / "{{cookiecutter.project_slug}}"
TESTS = HERE.parents[1] / "tests"
ROUNDS = 5

bare = FastAPI()
client: httpx2.AsyncClient | None = None


@bare.get("/example/{path:path}")
async def forward(path: str, request: Request) -> StreamingResponse:
    """The simplest proxy that streams."""
    global client
    client = client or httpx2.AsyncClient(base_url=os.environ["UPSTREAM_URL"], timeout=10)
    response = await client.send(client.build_request("GET", f"/{path}"), stream=True)
    return StreamingResponse(
        response.aiter_raw(), response.status_code, {"content-type": response.headers["content-type"]}
    )


def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def compare(row: Callable[[str, str, str, bool], None]) -> None:
    print("Proxy: ours beside a bare httpx2 proxy, both on granian, in alternating rounds")
    async with upstream_server() as server:
        env = os.environ | {"UPSTREAM_URL": server.url, "PYTHONPATH": f"{TESTS}:{HERE}", "ENVIRONMENT": "test"}
        servers, urls = {}, {}
        for name, target in (("ours", "packages.saaskit.upstream.proxy_app:app"), ("bare", "relay:bare")):
            number = port()
            program = f"-m granian --interface asgi --no-ws --log-level error --host 127.0.0.1 --port {number} {target}"
            servers[name] = await asyncio.create_subprocess_exec(
                sys.executable,
                *program.split(),
                cwd=PROJECT,
                env=env,
                stderr=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
            )
            urls[name] = f"http://127.0.0.1:{number}"
        try:
            await _measure(server, servers, urls, row)
        finally:
            for process in servers.values():
                process.terminate()
                await process.wait()


async def _measure(server: UpstreamServer, servers: dict, urls: dict[str, str], row: Callable) -> None:
    server["/files/small"] = respond(b'{"n": 1}' * 100)
    server["/files/some"] = flood(20 * MIB)
    server["/files/large"] = flood(200 * MIB)
    async with httpx2.AsyncClient(timeout=60) as client:
        for url in urls.values():
            for _ in range(300):
                try:
                    await client.get(f"{url}/example/files/small")
                    break
                except httpx2.TransportError:
                    await asyncio.sleep(0.1)
        workers = {
            name: max(psutil.Process(each.pid).children(), key=lambda p: p.memory_info().rss)
            for name, each in servers.items()
        }
        speed: dict[str, list[float]] = {name: [] for name in urls}
        rate: dict[str, list[float]] = {name: [] for name in urls}
        cpu: dict[str, list[float]] = {name: [] for name in urls}
        growth: dict[str, list[int]] = {name: [] for name in urls}
        for _ in range(ROUNDS + 1):
            for name, url in urls.items():
                await client.get(f"{url}/example/files/some")  # what the system took from an idle process comes back
                before = peak = workers[name].memory_info().rss
                started = time.perf_counter()
                async with client.stream("GET", f"{url}/example/files/large") as got:
                    async for _ in got.aiter_raw():
                        peak = max(peak, workers[name].memory_info().rss)
                speed[name].append(200 / (time.perf_counter() - started))
                growth[name].append(peak - before)
                used, started = sum(workers[name].cpu_times()[:2]), time.perf_counter()
                for _ in range(150):
                    await client.get(f"{url}/example/files/small")
                rate[name].append(150 / (time.perf_counter() - started))
                cpu[name].append((sum(workers[name].cpu_times()[:2]) - used) / 150 * 1e6)
        mid = {
            kind: {name: statistics.median(each[1:]) for name, each in table.items()}
            for kind, table in (("speed", speed), ("rate", rate), ("cpu", cpu))
        }
        ratio = mid["speed"]["ours"] / mid["speed"]["bare"]
        row("200 MiB: MiB/s ours, bare", f"{mid['speed']['ours']:.0f}, {mid['speed']['bare']:.0f}", "", True)
        row("  throughput ours / bare", f"{ratio:.2f} x", ">= 0.8 x", ratio >= 0.8)
        added = {name: statistics.median(each[1:]) / MIB for name, each in growth.items()}
        row(
            "  memory that 200 MiB add, MiB: ours, bare",
            f"{added['ours']:.1f}, {added['bare']:.1f}",
            "<= 8",
            added["ours"] <= 8,
        )
        ratio = mid["rate"]["ours"] / mid["rate"]["bare"]
        row("800 bytes: requests/s ours, bare", f"{mid['rate']['ours']:.0f}, {mid['rate']['bare']:.0f}", "", True)
        row("  throughput ours / bare", f"{ratio:.2f} x", ">= 0.8 x", ratio >= 0.8)
        row("  CPU us per request ours, bare", f"{mid['cpu']['ours']:.0f}, {mid['cpu']['bare']:.0f}", "", True)

        sent: list[float] = []

        async def events(request, writer) -> None:
            writer.write(response_head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"}))
            await writer.drain()
            await asyncio.sleep(0.1)
            sent.append(time.perf_counter())
            writer.write(b"3\r\na\n\n\r\n0\r\n\r\n")

        server["/files/events"] = events
        arrived = []
        for _ in range(20):
            async with client.stream("GET", f"{urls['ours']}/example/files/events") as got:
                times = [time.perf_counter() async for _ in got.aiter_raw()]
                arrived.append(times[0])
        late = sorted((there - here) * 1000 for here, there in zip(sent, arrived, strict=True))
        row(
            "first event after it was sent, ms: median, slowest of 20",
            f"{late[10]:.1f}, {late[-1]:.1f}",
            "<= 20",
            late[10] <= 20,
        )
