"""What a start costs: `dev` to the first 200 against importing `app.main`; the first request against the second.

The first 200 is the API's own, asked for every 10 ms from the start; the line `ready:` comes later, when worker,
relay and the others are ready too.

    uv run --project "{{cookiecutter.project_slug}}" python benchmarks/startup/bench.py

Runs on a copy of the project, with bytecode compiled and the engines' data in place (a second start).
Alternates import and `dev`, drops the first pair, prints medians and the ratio of this one run.
"""

import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

PROJECT = Path(__file__).parent.parent.parent / "{{cookiecutter.project_slug}}"
PARTS = ("app", "packages", "migrations", "pyproject.toml")
ROUNDS = 7
IN_PROCESS = """
import asyncio, time
from app.main import app
state = {}
async def once():
    done = []
    async def receive(): return {"type": "http.request", "body": b""}
    async def send(message): done.append(message)
    scope = {"type": "http", "method": "GET", "path": "/api/hello", "raw_path": b"/api/hello", "query_string": b"",
             "headers": [], "http_version": "1.1", "scheme": "http", "server": ("x", 80), "client": ("x", 1), "state": state}
    started = time.perf_counter()
    await app(scope, receive, send)
    assert done[0]["status"] == 200
    return (time.perf_counter() - started) * 1e6
async def main():
    # A server opens the lifespan before it takes a connection.
    started, end = asyncio.Event(), asyncio.Event()
    async def receive():
        if started.is_set():
            await end.wait()
            return {"type": "lifespan.shutdown"}
        return {"type": "lifespan.startup"}
    async def send(message): started.set()
    lifespan = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": state}, receive, send))
    await started.wait()
    print(*[await once() for _ in range(2)])
    end.set()
    await lifespan
asyncio.run(main())
"""


def timed(command: list[str], folder: Path, environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def dev(folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Seconds from starting the interpreter of `dev` to a 200 that this process received, and to `ready:`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**environment, "PORT": str(port)}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "devstack.cli"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    while not answers(f"http://127.0.0.1:{port}/api/health"):
        assert process.poll() is None
        time.sleep(0.01)
    first = time.perf_counter() - started
    assert any(line == f"ready: http://127.0.0.1:{port}\n" for line in process.stdout)
    ready = time.perf_counter() - started
    process.send_signal(signal.SIGINT)
    process.stdout.read()
    assert process.wait(30) == 0
    return first, ready


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="bench-startup-"))
    for part in PARTS:
        (shutil.copytree if (PROJECT / part).is_dir() else shutil.copy)(PROJECT / part, folder / part)
    hidden = {"PYTHONDONTWRITEBYTECODE", "DATABASE_URL", "REDIS_URL"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    sources = [str(folder), *(str(path) for path in folder.glob("packages/*/src"))]
    environment |= {"PYTHONPATH": os.pathsep.join(sources), "PORT": "0", "ENVIRONMENT": "development"}
    importing = [sys.executable, "-c", "import app.main"]
    runs = [(timed(importing, folder, environment), *dev(folder, environment)) for _ in range(ROUNDS + 1)][1:]
    imports, starts, readies = (statistics.median(column) for column in zip(*runs, strict=True))
    ratios = sorted(first / spent for spent, first, _ in runs)
    print(f"import app.main          {imports:.2f} s")
    print(f"dev to the first 200     {starts:.2f} s")
    print(f"dev to `ready:`          {readies:.2f} s")
    print(f"ratio of the pairs       {statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f}); the aim is 2.5")
    requests = []
    for _ in range(5):
        out = subprocess.run(
            [sys.executable, "-c", IN_PROCESS], cwd=folder, env=environment, check=True, capture_output=True, text=True
        ).stdout
        requests.append([float(value) for value in out.split()[-2:]])
    first, second = (statistics.median(column) for column in zip(*requests, strict=True))
    print(f"first request            {first:.0f} µs, second {second:.0f} µs, ratio {first / second:.2f}; the aim is 2")
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
