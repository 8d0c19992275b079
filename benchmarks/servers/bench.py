"""Which ASGI server? The same application on granian and on uvicorn: CPU per request, and slow headers.

    uv run --project "{{cookiecutter.project_slug}}" --with "uvicorn[standard]" python benchmarks/servers/bench.py

Needs `wrk` on the PATH. Both servers are up at once; rounds alternate; CPU is user + system time of the
whole process tree divided by the requests that were answered. Ratios come from this one run.
"""

import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

APP = """
from fastapi import FastAPI
from pydantic import BaseModel

class Item(BaseModel):
    id: int
    name: str = "lamp"

app = FastAPI()

@app.get("/static")
async def static() -> Item:
    return Item(id=1)

@app.get("/items/{id}")
async def item(id: int, page: int = 1) -> Item:
    return Item(id=id)

@app.post("/items")
async def add(item: Item) -> Item:
    return item
"""
POST = 'wrk.method="POST"\nwrk.headers["Content-Type"]="application/json"\nwrk.body=\'{"id": 7, "name": "lamp"}\'\n'
CASES = {"GET static": ("/static", None), "GET items/7": ("/items/7?page=2", None), "POST JSON": ("/items", POST)}
ROUNDS, SECONDS = 5, 2


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(name: str, port: int, folder: Path) -> subprocess.Popen[bytes]:
    common = ["--host", "127.0.0.1", "--port", str(port)]
    commands = {
        "granian": ["granian", "--interface", "asgi", "--no-log", "--http1-header-read-timeout", "5000", *common],
        "uvicorn": [
            "uvicorn",
            "--no-access-log",
            "--log-level",
            "error",
            "--loop",
            "uvloop",
            "--http",
            "httptools",
            *common,
        ],
    }
    server = subprocess.Popen([sys.executable, "-m", *commands[name], "bench_app:app"], cwd=folder)
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.05)
    raise SystemExit(f"{name} did not start")


def cpu_seconds(server: subprocess.Popen[bytes]) -> float:
    root = psutil.Process(server.pid)
    return sum(p.cpu_times().user + p.cpu_times().system for p in [root, *root.children(recursive=True)])


def load(port: int, path: str, script: Path | None, seconds: float) -> tuple[int, float]:
    command = ["wrk", "-t1", "-c16", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{port}{path}"]
    if script:
        command[1:1] = ["-s", str(script)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in out, out
    latency, requests = re.search(r"99%\s+([\d.]+)(us|ms|s)", out), re.search(r"(\d+) requests in", out)
    assert latency and requests, out
    p99, unit = latency.groups()
    return int(requests[1]), float(p99) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def slow_header_seconds(port: int, limit: float = 15) -> str:
    """How long a client may take over one header line."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /static HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        client.settimeout(limit)
        started = time.monotonic()
        try:
            while client.recv(1024):
                pass
        except TimeoutError:
            return f"still open after {limit:.0f} s"
        return f"closed after {time.monotonic() - started:.1f} s"


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="bench-servers-"))
    (folder / "bench_app.py").write_text(APP)
    (folder / "post.lua").write_text(POST)
    ports = {"granian": free_port(), "uvicorn": free_port()}
    servers = {name: start(name, port, folder) for name, port in ports.items()}
    try:
        print(f"{'case':<14}{'granian µs':>12}{'uvicorn µs':>12}{'ratio':>8}{'min–max':>14}{'p99 ms g/u':>14}")
        for case, (path, post) in CASES.items():
            script = folder / "post.lua" if post else None
            costs: dict[str, list[float]] = {name: [] for name in servers}
            tails: dict[str, list[float]] = {name: [] for name in servers}
            for name in servers:
                load(ports[name], path, script, 1)
            for _ in range(ROUNDS):
                for name, server in servers.items():
                    before = cpu_seconds(server)
                    requests, p99 = load(ports[name], path, script, SECONDS)
                    costs[name].append((cpu_seconds(server) - before) / requests * 1e6)
                    tails[name].append(p99)
            g, u = (statistics.median(costs[name]) for name in ("granian", "uvicorn"))
            pairs = [a / b for a, b in zip(costs["granian"], costs["uvicorn"], strict=True)]
            p99s = "/".join(f"{statistics.median(tails[name]):.1f}" for name in ("granian", "uvicorn"))
            print(f"{case:<14}{g:>12.0f}{u:>12.0f}{g / u:>8.2f}{min(pairs):>8.2f}–{max(pairs):.2f}{p99s:>14}")
        for name, port in ports.items():
            print(f"{name}: a header line that never ends: {slow_header_seconds(port)}")
    finally:
        for server in servers.values():
            server.terminate()
            server.wait(10)


if __name__ == "__main__":
    main()
