"""Count the files and functions of the project that one request visits.

    uv run --directory "{{cookiecutter.project_slug}}" python ../benchmarks/readability/walks.py

Each request is made twice, in process, on a real PostgreSQL and Valkey: the second time a profiler notes every function
of `app/` and `packages/` that is called, in any thread, until the response is complete. Middleware is included.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FrameType
from typing import Any

PROJECT = Path.cwd()
ORIGIN = "https://example.test"
os.chdir(PROJECT)
sys.path.insert(0, str(PROJECT))

import httpx2  # noqa: E402
from alembic import command  # noqa: E402
from alembic.config import Config  # noqa: E402
from app.main import create_app  # noqa: E402
from app.settings import Settings  # noqa: E402
from devstack import run_postgres, run_valkey  # noqa: E402
from saaskit.settings import UpstreamSettings  # noqa: E402
from saaskit.testing import respond, upstream_server  # noqa: E402

sys.modules["sniffio"] = None  # type: ignore[assignment]  # the client tries to import it at each request
GOALS = {"product": 9, "order": 11, "sign in": 14, "weather": 18, "export": 12}
PASSWORD = "correct horse battery staple"


@contextmanager
def visits() -> Iterator[set[CodeType]]:
    """Collect the functions of the project that are called inside of the block."""
    seen: set[CodeType] = set()
    roots = (str(PROJECT / "app"), str(PROJECT / "packages"))
    not_counted = str(PROJECT / "packages/saaskit/src/saaskit/testing")  # the stand-in for the upstream

    def profile(frame: FrameType, event: str, _: Any) -> None:
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(roots) and not name.startswith(not_counted):
            seen.add(frame.f_code)

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield seen
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


async def measure(app: Any) -> None:
    """Print a line for each kind of request."""
    transport = httpx2.ASGITransport(app, raise_app_exceptions=True)
    options: dict[str, Any] = {"base_url": ORIGIN, "headers": {"origin": ORIGIN}}

    async with httpx2.AsyncClient(transport=transport, **options) as client:
        credentials = {"email": "ada-lindqvist@example.com", "password": PASSWORD}
        assert (await client.post("/api/session", json=credentials)).status_code == 204
        user_id = (await client.get("/api/me")).json()["id"]
        order = {"items": [{"product_id": 1, "quantity": 1}]}
        requests = {
            "product": ("GET", "/api/products/1", None, 200),
            "order": ("POST", f"/api/users/{user_id}/orders", order, 201),
            "sign in": ("POST", "/api/session", credentials, 204),
            "weather": ("GET", "/api/weather/{}", None, 200),
            "export": ("POST", "/api/exports", {"resource": "orders"}, 202),
        }
        for name, (method, path, body, status) in requests.items():
            await client.request(method, path.format("bergen"), json=body)
            with visits() as seen:
                response = await client.request(method, path.format("oslo"), json=body)
            assert response.status_code == status, response.text
            files = sorted({Path(code.co_filename).relative_to(PROJECT).as_posix() for code in seen})
            functions = {(code.co_filename, code.co_firstlineno) for code in seen}
            print(f"{name:8} {len(files):3} files (goal {GOALS[name]:2}) {len(functions):4} functions")
            if "--files" in sys.argv:
                print("".join(f"           {file}\n" for file in files), end="")


async def run(settings: Settings) -> None:
    """Seed the database and measure, with an upstream of our own."""
    from app.seed import seed
    from saaskit.db import create_engine, create_sessionmaker

    engine = create_engine(settings.database_url, pool_size=1)
    async with create_sessionmaker(engine).begin() as db:
        await seed(db)
    await engine.dispose()
    async with upstream_server() as server:
        server["/v1/search"] = respond('{"results": [{"name": "Oslo", "latitude": 59.9, "longitude": 10.7}]}')
        server["/v1/forecast"] = respond(
            '{"current": {"time": "2026-11-30T12:00", "temperature_2m": 1, "wind_speed_10m": 2, "weather_code": 3}}'
        )
        own = UpstreamSettings(base_url=server.url)
        app = create_app(settings.model_copy(update={"upstreams": {"geocoding": own, "weather": own}}))
        async with app.router.lifespan_context(app) as state:

            async def with_state(scope: Any, receive: Any, send: Any) -> None:
                scope["state"] = dict(state or {})
                await app(scope, receive, send)

            await measure(with_state)


def main() -> None:
    """Start the servers, migrate, measure."""
    with (
        TemporaryDirectory() as folder,
        run_postgres(Path(folder, "postgres")) as database,
        run_valkey(Path(folder, "valkey")) as cache,
    ):
        alembic = Config(toml_file=PROJECT / "pyproject.toml")
        alembic.attributes["url"] = database
        command.upgrade(alembic, "head")
        settings = Settings(
            environment="test", public_url=ORIGIN, database_url=database, redis_url=cache, log_level="error"
        )
        asyncio.run(run(settings))


if __name__ == "__main__":
    main()
