"""What accounts cost, and whether time tells who is known.

From the project's folder: uv run python ../benchmarks/accounts/bench.py [N]

1. Medians of sign-in, forgot and sign-up for known and unknown addresses, interleaved; N of each, 200 if not given.
2. The same handler for strangers and for who is signed in: queries, and CPU time of a request.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ["ENVIRONMENT"] = "test"

import httpx2
from alembic import command
from alembic.config import Config

from app.core import passwords
from app.core.db import create_engine, create_lookups, create_sessions
from app.main import create_app
from app.services import limits
from app.settings import Settings
from devstack.engines import postgres, valkey
from tests.factories import new_address, new_email, signed_in
from tests.passwords import PASSWORD, with_password

ORIGIN = "https://test"


async def compare(name: str, client: httpx2.AsyncClient, path: str, bodies: dict, count: int) -> None:
    """Interleave, so that both see the same machine; every request comes from another address."""
    times: dict[str, list[float]] = {who: [] for who in bodies}
    for _ in range(count + 10):
        for who, body in bodies.items():
            client._transport.client = (new_address(), 1)  # type: ignore[attr-defined]
            payload = body()
            began = time.perf_counter()
            answer = await client.post(path, json=payload)
            times[who].append((time.perf_counter() - began) * 1000)
            assert answer.status_code in (202, 401), answer.text
    medians = {who: statistics.median(found[10:]) for who, found in times.items()}
    known, unknown = medians["known"], medians["unknown"]
    print(f"{name:8} known {known:7.2f} ms   unknown {unknown:7.2f} ms   {(unknown / known - 1) * 100:+.1f} %")


async def cost(client: httpx2.AsyncClient, path: str, count: int) -> float:
    """CPU milliseconds of one request, the least of five rounds."""
    rounds = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(count):
            answer = await client.get(path)
        rounds.append((time.process_time() - began) * 1000 / count)
        assert answer.status_code == 200
    return min(rounds)


async def main(settings: Settings, count: int) -> None:
    """Print the numbers."""
    engine = create_engine(settings.database_url)
    app = create_app(settings)
    app.state.sessions, app.state.lookups = create_sessions(engine), create_lookups(engine)

    from app.deps import CurrentUser, Db
    from sqlalchemy import text

    @app.get("/public")
    async def public(db: Db) -> dict[str, int]:
        return {"one": (await db.scalar(text("SELECT 1"))) or 0}

    @app.get("/guarded")
    async def guarded(user: CurrentUser, db: Db) -> dict[str, int]:
        return {"one": (await db.scalar(text("SELECT 1"))) or 0}

    limits.ACCOUNT = limits.ACCOUNT._replace(most=10**6)
    limits.ACCOUNT_LONG = limits.ACCOUNT_LONG._replace(most=10**6)
    limits.MAILS = limits.MAILS._replace(most=10**6)
    async with app.state.sessions() as db:
        users = [await with_password(db) for _ in range(20)]
        cookies = await signed_in(db, users[0])
    transport = httpx2.ASGITransport(app, client=("10.0.0.1", 1))
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
        client._transport.client = ("10.0.0.1", 1)  # type: ignore[attr-defined]
        stranger = await cost(client, "/public", 200)
        # Not through the client's cookie jar, whose work is not ours.
        client.headers["cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        user = await cost(client, "/guarded", 200)
        print(f"a request with one query: public {stranger:.3f} ms CPU, signed in {user:.3f} ms, {user / stranger:.2f} x")
    assert passwords.hasher()
    await engine.dispose()


if __name__ == "__main__":
    import logging

    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with postgres(home / "postgres", durable=False) as database, valkey(home / "valkey", durable=False) as cache:
            alembic = Config(toml_file="pyproject.toml")
            alembic.attributes["url"] = database
            command.upgrade(alembic, "head")
            known = Settings(environment="test", public_url=ORIGIN, database_url=database, redis_url=f"{cache}/0")
            asyncio.run(main(known, int(sys.argv[1]) if len(sys.argv) > 1 else 200))
