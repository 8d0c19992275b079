"""The same cached endpoint on Next.js and here: upstream calls of a stampede, CPU of a hit.

    npm install --prefix FOLDER next@16 react react-dom    (no "type" in its package.json)
    uv run --project "{{cookiecutter.project_slug}}" python benchmarks/cache/beside_next.py FOLDER

Needs `node` and `wrk`. One process each, both up at once, rounds in turn; CPU is that of the process tree.
"""

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = HERE.parents[1] / "{{cookiecutter.project_slug}}"
sys.path[:0] = [str(PROJECT), str(HERE)]
os.environ.setdefault("ENVIRONMENT", "test")

import httpx2  # noqa: E402
import psutil  # noqa: E402
from devstack import run_valkey  # noqa: E402
from fastapi import FastAPI  # noqa: E402
from pydantic import BaseModel, ConfigDict  # noqa: E402
from saaskit import upstream  # noqa: E402
from saaskit.cache import cached, connect  # noqa: E402
from saaskit.logging import configure_logging  # noqa: E402
from saaskit.settings import Settings  # noqa: E402
from saaskit.testing import delayed, respond, upstream_server  # noqa: E402
from saaskit.web import RequestContextMiddleware  # noqa: E402

ROUTE = """export async function GET(request) {
  const city = request.nextUrl.searchParams.get("city")
  const answer = await fetch(`${process.env.UPSTREAM_URL}/v1/value?city=${city}`, { next: { revalidate: 600 } })
  return Response.json(await answer.json())
}
"""
ROUNDS = 4
api = upstream.Upstream("bench", base_url=os.environ.get("UPSTREAM_URL", ""))


class Value(BaseModel):
    model_config = ConfigDict(frozen=True)
    n: int


@cached("value", revalidate=600)
async def value(city: str) -> Value:
    return await api.get("/v1/value", model=Value, params={"city": city})


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    configure_logging("error", json=False)
    async with upstream.connect(Settings()), connect(os.environ["REDIS_URL"]):
        yield


plain = FastAPI(lifespan=lifespan)
ours = RequestContextMiddleware(plain)


@plain.get("/api/weather")
async def get(city: str) -> Value:
    return await value(city)


def free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu(server: subprocess.Popen) -> float:
    tree = [psutil.Process(server.pid)]
    tree += tree[0].children(recursive=True)
    return sum(sum(each.cpu_times()[:2]) for each in tree)


async def main(folder: Path) -> None:
    route = folder / "app/api/weather/route.js"
    route.parent.mkdir(parents=True, exist_ok=True)
    route.write_text(ROUTE)
    next_ = [str(folder / "node_modules/.bin/next")]
    if not (folder / ".next/BUILD_ID").exists():
        subprocess.run([*next_, "build"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as name, run_valkey(Path(name)) as redis:
        async with upstream_server() as source:
            source["/v1/value"] = delayed(0.05, respond('{"n": 1}'))
            env = os.environ | {
                "UPSTREAM_URL": source.url,
                "REDIS_URL": f"{redis}/0",
                "PYTHONPATH": f"{PROJECT}:{HERE}",
            }
            ports = {"next": free(), "ours": free()}
            granian = "-m granian --interface asgi --log-level error --host 127.0.0.1"
            granian += f" --port {ports['ours']} beside_next:ours"
            servers = {
                "next": subprocess.Popen(
                    [*next_, "start", "-p", str(ports["next"])], cwd=folder, env=env, stdout=subprocess.DEVNULL
                ),
                "ours": subprocess.Popen(
                    [sys.executable, *granian.split()],
                    cwd=PROJECT,
                    env=env | {"LOG_LEVEL": "error"},
                    stderr=subprocess.DEVNULL,
                ),
            }
            try:
                await measure(source, servers, ports)
            finally:
                for server in servers.values():
                    for each in psutil.Process(server.pid).children(recursive=True):
                        each.terminate()
                    server.terminate()
                    server.wait()


async def measure(source, servers: dict, ports: dict[str, int]) -> None:
    urls = {name: f"http://127.0.0.1:{port}/api/weather" for name, port in ports.items()}
    limits = httpx2.Limits(max_connections=200, max_keepalive_connections=200)
    async with httpx2.AsyncClient(timeout=60, limits=limits) as client:
        for url in urls.values():
            for _ in range(600):
                try:
                    if (await client.get(f"{url}?city=warm")).is_success:
                        break
                except httpx2.TransportError:
                    pass
                await asyncio.sleep(0.1)
        calls: dict[str, list[int]] = {name: [] for name in urls}
        for turn in range(ROUNDS):
            for name, url in urls.items():
                asked = len(source.requests)
                found = await asyncio.gather(*(client.get(f"{url}?city={name}-{turn}") for _ in range(200)))
                assert all(each.json() == {"n": 1} for each in found)
                calls[name].append(len(source.requests) - asked)
        print("200 concurrent misses, upstream calls:", calls, flush=True)
    used: dict[str, list[float]] = {name: [] for name in urls}
    for _ in range(ROUNDS + 1):
        for name, url in urls.items():
            before = cpu(servers[name])
            process = await asyncio.create_subprocess_exec(
                "wrk", "-t1", "-c16", "-d2s", f"{url}?city=warm", stdout=asyncio.subprocess.PIPE
            )
            out = (await process.communicate())[0].decode()
            assert "Non-2xx" not in out, out
            done = int(next(line for line in out.splitlines() if "requests in" in line).split()[0])
            used[name].append((cpu(servers[name]) - before) / done * 1e6)
    us = {name: statistics.median(each[1:]) for name, each in used.items()}
    print(
        f"hit, CPU us per request: next {us['next']:.0f}, ours {us['ours']:.0f}: "
        f"{us['next'] / us['ours']:.1f} x less (goal 5 x)"
    )


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).resolve()))
