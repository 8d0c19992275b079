"""What accounts cost, and whether time tells who is known.

From the project's folder: uv run python ../benchmarks/accounts/bench.py [N]

1. Medians of sign-in, forgot and sign-up for known and unknown addresses, interleaved; N of each, 200 if not given.
2. The same handler for strangers and for who is signed in: CPU time of the server's processes for a request.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ["ENVIRONMENT"] = "test"

import httpx2
import psutil
from alembic import command
from alembic.config import Config
from fastapi import FastAPI

from app.accounts import rate_limits
from app.main import create_app
from app.settings import Settings
from devstack import free_port, run_postgres, run_valkey
from tests.factories import PASSWORD, add_user, new_email, new_ip, sign_in

ORIGIN = "https://test"


async def compare(name: str, client: httpx2.AsyncClient, path: str, bodies: dict, count: int) -> None:
    """Interleave, so that both see the same machine; every request comes from another address."""
    times: dict[str, list[float]] = {who: [] for who in bodies}
    for _ in range(count + 10):
        for who, body in bodies.items():
            client._transport.client = (new_ip(), 1)  # type: ignore[attr-defined]
            payload = body()
            began = time.perf_counter()
            answer = await client.post(path, json=payload)
            times[who].append((time.perf_counter() - began) * 1000)
            assert answer.status_code in (202, 401), answer.text
    medians = {who: statistics.median(found[10:]) for who, found in times.items()}
    known, unknown = medians["known"], medians["unknown"]
    print(f"{name:8} known {known:7.2f} ms   unknown {unknown:7.2f} ms   {(unknown / known - 1) * 100:+.1f} %")


def served(settings: Settings, port: int) -> subprocess.Popen[bytes]:
    """One process of the server, with served.py."""
    environment = {
        "PYTHONPATH": os.pathsep.join([str(Path.cwd()), str(Path(__file__).parent)]),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
    }
    command = f"-m granian --interface asgi --log-level error --host 127.0.0.1 --port {port} served:app"
    # With its line for each request, as in production; nobody reads it here.
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, *command.split()], env=os.environ | environment, **quiet)


async def cost(server: subprocess.Popen[bytes], url: str, asked: dict[str, dict[str, str]]) -> dict[str, float]:
    """CPU milliseconds of one request to each path, with its headers: the median of nine rounds in turn."""
    rounds: dict[str, list[float]] = {path: [] for path in asked}

    def used() -> float:
        family = psutil.Process(server.pid)
        return sum(sum(each.cpu_times()[:2]) for each in (family, *family.children(recursive=True)))

    async with httpx2.AsyncClient(base_url=url) as client:
        for _ in range(200):
            try:
                await client.get("/public")
                break
            except httpx2.TransportError:
                await asyncio.sleep(0.1)
        for _ in range(10):
            for path, headers in asked.items():
                began = used()
                for _ in range(400):
                    answer = await client.get(path, headers=headers)
                    assert answer.status_code == 200
                rounds[path].append((used() - began) * 1000 / 400)
    return {path: statistics.median(times[1:]) for path, times in rounds.items()}


async def main(settings: Settings, count: int) -> None:
    """Print the numbers."""
    app = create_app(settings)
    for name in ("ACCOUNT", "ACCOUNT_LONG", "MAILS"):
        setattr(rate_limits, name, getattr(rate_limits, name)._replace(max_requests=10**6))
    async with app.router.lifespan_context(app) as state:
        await measure(app, state or {}, settings, count)


async def measure(app: FastAPI, state: Mapping[str, Any], settings: Settings, count: int) -> None:
    """Compare known and unknown addresses in process, then the CPU time of a server."""

    async def with_state(scope, receive, send) -> None:
        await app(scope | {"state": dict(state)}, receive, send)

    async with state["sessionmaker"]() as db:
        users = [await add_user(db, password=PASSWORD) for _ in range(20)]
        cookies = await sign_in(db, users[0])
    transport = httpx2.ASGITransport(with_state, client=("10.0.0.1", 1))
    headers = {"origin": ORIGIN}
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers) as client:
        turn = iter(range(10**9))
        known = lambda: users[next(turn) % 20].email  # noqa: E731
        wrong = "wrong wrong wrong wrong"
        who = {
            "known": lambda: {"email": known(), "password": wrong},
            "unknown": lambda: {"email": new_email(), "password": wrong},
        }
        await compare("sign-in", client, "/api/session", who, count)
        who = {"known": lambda: {"email": known()}, "unknown": lambda: {"email": new_email()}}
        await compare("forgot", client, "/api/password-reset", who, count)
        form = {"name": "Ada", "password": PASSWORD}
        who = {"known": lambda: form | {"email": known()}, "unknown": lambda: form | {"email": new_email()}}
        await compare("sign-up", client, "/api/users", who, count)
    port = free_port()
    server = served(settings, port)
    try:
        sent = {"cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        found = await cost(server, f"http://127.0.0.1:{port}", {"/public": {}, "/guarded": sent})
    finally:
        server.terminate()
        server.wait()
    stranger, user = found["/public"], found["/guarded"]
    print(f"a request with one query: public {stranger:.3f} ms CPU, signed in {user:.3f} ms, {user / stranger:.2f} x")


if __name__ == "__main__":
    import logging

    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with run_postgres(home / "postgres") as database, run_valkey(home / "valkey") as cache:
            alembic = Config(toml_file="pyproject.toml")
            alembic.attributes["url"] = database
            command.upgrade(alembic, "head")
            known = Settings(environment="test", public_url=ORIGIN, database_url=database, redis_url=f"{cache}/0")
            asyncio.run(main(known, int(sys.argv[1]) if len(sys.argv) > 1 else 200))
