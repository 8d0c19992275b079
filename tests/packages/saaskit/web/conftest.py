"""The small product in process, with fixtures to change its settings, and behind the server of the Dockerfile."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
import structlog
from devstack.pytest_plugin import Servers
from fastapi import FastAPI
from packages.saaskit.web.small_app import create_app
from packages.saaskit.web.support import HOST, ORIGIN, NewClient, Refusals
from saaskit.settings import Settings

TESTS = Path(__file__).parents[3]
PROJECT = TESTS.parent / "{{cookiecutter.project_slug}}"


@pytest.fixture(autouse=True)
def no_log_output() -> Iterator[None]:
    """Rendering a traceback takes a second. The log is tested with the real server."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def settings() -> Settings:
    """Settings without servers. Neither the environment's nor `.env`'s are read."""
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.lower().partition("__")[0] in Settings.model_fields]:
            environment.delenv(name)
        return Settings(_env_file=None, environment="test", public_url=ORIGIN)  # type: ignore[call-arg]


@pytest.fixture
def refusals() -> Refusals:
    return Refusals()


@pytest.fixture
def new_app(settings: Settings, refusals: Refusals) -> Callable[..., FastAPI]:
    """Create the application: `new_app(allowed_hosts="test")`."""
    return lambda **changes: create_app(settings.model_copy(update=changes), refusals)


@pytest.fixture
def new_client(new_app: Callable[..., FastAPI]) -> NewClient:
    """Open a client of an application: `async with new_client(environment="production") as client`."""

    @asynccontextmanager
    async def open_client(ip: str = "10.0.0.1", **changes: Any) -> AsyncIterator[httpx2.AsyncClient]:
        app = new_app(**changes)
        async with app.router.lifespan_context(app) as state:

            async def with_state(scope, receive, send) -> None:
                scope["state"] = dict(state or {})
                await app(scope, receive, send)

            transport = httpx2.ASGITransport(with_state, client=(ip, 1))
            async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as client:
                yield client

    return open_client


@pytest.fixture
async def client(new_client: NewClient) -> AsyncIterator[httpx2.AsyncClient]:
    """A client without cookies. An exception that the application does not turn into a response fails the test."""
    async with new_client() as client:
        yield client


class Server(NamedTuple):
    """A granian process that serves the small product in production."""

    port: int
    log: Path
    pid: int

    def log_lines(self, request_id: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait for the lines with this request id."""
        deadline = time.monotonic() + 30
        while True:
            complete = self.log.read_text(encoding="utf-8").rpartition("\n")[0]
            lines = [json.loads(line) for line in complete.splitlines() if request_id in line]
            if len(lines) >= count:
                return lines
            assert time.monotonic() < deadline, complete[-3000:]
            time.sleep(0.01)


StartServer = Callable[..., AbstractContextManager[Server]]


@pytest.fixture(scope="session")
def start_server(servers: Servers, database: str, tmp_path_factory: pytest.TempPathFactory) -> StartServer:
    """Start the command of the project's Dockerfile, with this module: `with start_server(workers=2) as server`."""
    line = next(line for line in (PROJECT / "Dockerfile").read_text().splitlines() if line.startswith("CMD "))
    *command, app = json.loads(line.removeprefix("CMD "))
    assert app == "app.main:app"

    @contextmanager
    def start(workers: int = 1) -> Iterator[Server]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        for name, value in (("--host", "127.0.0.1"), ("--port", str(port)), ("--workers", str(workers))):
            command[command.index(name) + 1] = value
        folder = tmp_path_factory.mktemp("server")
        log = folder / "log"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(TESTS),
            "ENVIRONMENT": "production",
            "DATABASE_URL": database,
            "REDIS_URL": f"{servers.cache}/3",
            "ALLOWED_HOSTS": HOST,
            "PUBLIC_URL": f"https://{HOST}",
            "SIGNING_KEYS": "a-key-for-tests-of-32-characters-or-more",
            "ENCRYPTION_KEYS": f"{'A' * 42}E=",
            "BODY_SECONDS": "1",
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *command, "packages.saaskit.web.small_app:app"],
                cwd=folder,
                env=environment,
                stdout=output,
                stderr=output,
            )
        try:
            _wait_until_ready(port, process, log)
            yield Server(port, log, process.pid)
        finally:
            process.terminate()
            process.wait(30)

    return start


@pytest.fixture(scope="session")
def server(start_server: StartServer) -> Iterator[Server]:
    """One process that serves the small product, for all tests."""
    with start_server() as server:
        yield server


def _wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    with socket.socket() as connection:
        while connection.connect_ex(("127.0.0.1", port)):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)


@pytest.fixture(scope="session")
def database(new_database: Callable[[], str]) -> str:
    """The URL of a database with the job tables."""
    return new_database()
