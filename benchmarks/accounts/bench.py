"""The costs of accounts, and whether response times reveal which addresses have an account.

    uv run --directory "{{cookiecutter.project_slug}}" python ../benchmarks/accounts/bench.py [N]

1. Median time of sign-in, password reset and sign-up for known and unknown addresses, interleaved; N (200) of each.
2. CPU time per request of the same handler, public and for a signed-in user, over all processes of the server.
"""

import asyncio
import logging
import os
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

os.environ["ENVIRONMENT"] = "test"
sys.path.insert(0, str(Path.cwd()))

import httpx2
import psutil
from alembic import command
from alembic.config import Config
from app.accounts import rate_limits
from app.main import create_app
from app.settings import Settings
from devstack import run_postgres, run_valkey
from saaskit.db import create_engine, create_sessionmaker
from saaskit.ratelimit import Limit
from tests.factories import PASSWORD, add_user, new_email, new_ip, sign_in

ORIGIN = "https://test"
WARM_UP = 10
Body = Callable[[], dict[str, str]]


async def compare(client: httpx2.AsyncClient, name: str, path: str, known: Body, unknown: Body, count: int) -> None:
    """Print the median time for known and unknown addresses. They alternate, so that both see the same machine."""
    times: dict[str, list[float]] = {"known": [], "unknown": []}
    for _ in range(count + WARM_UP):
        for kind, body in (("known", known), ("unknown", unknown)):
            payload = body()
            started = perf_counter()
            response = await client.post(path, json=payload)
            times[kind].append((perf_counter() - started) * 1000)
            assert response.status_code in (202, 401), response.text
    first, second = (statistics.median(found[WARM_UP:]) for found in times.values())
    print(f"{name:14} known {first:7.2f} ms   unknown {second:7.2f} ms   {(second / first - 1) * 100:+.1f} %")


async def measure_times(settings: Settings, emails: list[str], count: int) -> None:
    """Compare the three requests that could reveal an account. Each comes from another IP address."""
    for limit in ("ACCOUNT", "ACCOUNT_LONG", "MAILS"):
        setattr(rate_limits, limit, Limit(limit, max_requests=10**6, seconds=60))
    app, known = create_app(settings), cycle(emails)
    async with app.router.lifespan_context(app) as state:

        async def from_another_ip(scope: Any, receive: Any, send: Any) -> None:
            await app(scope | {"state": dict(state or {}), "client": (new_ip(), 1)}, receive, send)

        transport = httpx2.ASGITransport(from_another_ip)
        async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN, headers={"origin": ORIGIN}) as client:
            for name, path, form in (
                ("sign-in", "/api/session", {"password": "wrong wrong wrong wrong"}),
                ("password reset", "/api/password-reset", {}),
                ("sign-up", "/api/users", {"name": "Ada", "password": PASSWORD}),
            ):
                await compare(
                    client,
                    name,
                    path,
                    lambda form=form: form | {"email": next(known)},
                    lambda form=form: form | {"email": new_email()},
                    count,
                )


def serve(settings: Settings, port: int) -> subprocess.Popen[bytes]:
    """Start one server process with served.py. It logs each request, as in production."""
    environment = {
        "PYTHONPATH": os.pathsep.join([str(Path.cwd()), str(Path(__file__).parent)]),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
    }
    arguments = f"-m granian --interface asgi --log-level error --host 127.0.0.1 --port {port} served:app"
    return subprocess.Popen(
        [sys.executable, *arguments.split()],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def measure_cpu(server: subprocess.Popen[bytes], url: str, cookies: Mapping[str, str]) -> None:
    """Print CPU milliseconds per request: the median of nine alternating rounds of 400 requests."""
    rounds: dict[str, list[float]] = {"/public": [], "/guarded": []}

    def used() -> float:
        process = psutil.Process(server.pid)
        return sum(sum(each.cpu_times()[:2]) for each in (process, *process.children(recursive=True)))

    async with httpx2.AsyncClient(base_url=url) as client:
        for _ in range(200):
            try:
                await client.get("/public")
                break
            except httpx2.TransportError:
                await asyncio.sleep(0.1)
        for _ in range(10):
            for path, found in rounds.items():
                headers = {"cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
                started = used()
                for _ in range(400):
                    response = await client.get(path, headers=headers if path == "/guarded" else {})
                    assert response.status_code == 200
                found.append((used() - started) * 1000 / 400)
    public, guarded = (statistics.median(found[1:]) for found in rounds.values())
    print(f"one query: public {public:.3f} ms CPU, signed in {guarded:.3f} ms, {guarded / public:.2f} x")


async def main(settings: Settings, count: int) -> None:
    """Create the accounts, then measure."""
    engine = create_engine(settings.database_url, pool_size=1)
    async with create_sessionmaker(engine)() as db:
        users = [await add_user(db, password=PASSWORD) for _ in range(20)]
        emails, cookies = [user.email for user in users], await sign_in(db, users[0])
    await engine.dispose()
    await measure_times(settings, emails, count)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = serve(settings, port)
    try:
        await measure_cpu(server, f"http://127.0.0.1:{port}", cookies)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    logging.disable(logging.INFO)
    with (
        TemporaryDirectory() as folder,
        run_postgres(Path(folder, "postgres")) as database,
        run_valkey(Path(folder, "valkey")) as cache,
    ):
        alembic = Config(toml_file="pyproject.toml")
        alembic.attributes["url"] = database
        command.upgrade(alembic, "head")
        count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
        settings = Settings(environment="test", public_url=ORIGIN, database_url=database, redis_url=f"{cache}/0")
        asyncio.run(main(settings, count))
