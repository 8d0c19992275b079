"""A small project in a temporary folder, and `dev` running in it as a process of its own."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from devstack import run_postgres

DEADLINE = 60.0  # seconds that any step may take on a busy machine

PYPROJECT = """
[tool.devstack.processes.api]
command = "granian --interface asgi --host $HOST --port $PORT app.main:app"
ready = "http://$HOST:$PORT/api/health"
page = "http://localhost:$PORT/docs"
reload = ["app", ".env"]
hot = ["app/api"]
"""

APP = """
import os, asyncpg, redis.asyncio
from app import words

async def respond(path):
    if path == "/database":
        connection = await asyncpg.connect(os.environ["DATABASE_URL"], timeout=2)
        await connection.execute("create table if not exists visits (at timestamptz default now())")
        await connection.execute("insert into visits default values")
        count = await connection.fetchval("select count(*) from visits")
        await connection.close()
        return str(count)
    if path == "/cache":
        async with redis.asyncio.from_url(os.environ["REDIS_URL"]) as client:
            return str(await client.incr("visits"))
    return words.GREETING

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    try:
        status, text = 200, await respond(scope["path"])
    except Exception as error:
        status, text = 503, repr(error)
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})
"""


def eventually(condition: Callable[[], Any], deadline: float = DEADLINE) -> Any:
    """Wait until the condition is true, and return its value."""
    end = time.monotonic() + deadline
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {deadline} s"
        time.sleep(0.02)
    return value


class Dev:
    """A running `dev`. Its output goes to a file, so that it never waits for us to read it."""

    def __init__(
        self,
        folder: Path,
        wrapper: tuple[str, ...] = (),
        arguments: tuple[str, ...] = (),
        output: int | None = None,
        python: Path = Path(sys.executable),
        **environment: str,
    ) -> None:
        self.folder, self.log = folder, folder / f"output-{time.monotonic_ns()}"
        unset = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "HOST", "PORT", "ENVIRONMENT", "NO_COLOR")
        inherited = {name: value for name, value in os.environ.items() if name not in unset}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*wrapper, python, "-m", "devstack.cli", *arguments],
                cwd=folder,
                env={**inherited, "PORT": "0", **environment},
                stdin=subprocess.DEVNULL,
                stdout=output or log,
                stderr=subprocess.STDOUT,
            )
        self.seen: set[psutil.Process] = set()

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str, times: int = 1) -> str:
        """Wait until `dev` has printed a text so many times. Returns the whole output."""

        def printed() -> bool:
            exited = self.process.poll() is not None
            found = self.output.count(text) >= times
            assert found or not exited, f"exited without printing {text!r}:\n{self.output}"
            return found

        eventually(printed)
        return self.output

    def ready(self) -> "Dev":
        """Wait for the last line of the start, and set `url`."""
        self.wait_for("ready: http")
        self.url = self.output.rpartition("ready: ")[2].strip().splitlines()[0]
        self.processes()
        return self

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body, or 0 and the error if there is no response."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as response:  # noqa: S310 (an http URL)
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def processes(self) -> list[psutil.Process]:
        """Return all processes of this `dev` that were seen so far, ended ones included."""
        with contextlib.suppress(psutil.Error):
            found = psutil.Process(self.process.pid)
            self.seen |= {found, *found.children(recursive=True)}
        return list(self.seen)

    def child(self, name: str) -> psutil.Process:
        """Return the process whose pid file has this name."""
        pid = int(eventually(lambda: (self.folder / ".dev" / f"{name}.pid").read_text()))
        return psutil.Process(pid)

    def exit(self, signal_: signal.Signals | None = None) -> int:
        """Send a signal, if any, and wait until all processes have ended. Returns the exit code."""
        self.processes()
        if signal_:
            self.process.send_signal(signal_)
        code = self.process.wait(DEADLINE)
        alive = psutil.wait_procs(self.seen, timeout=DEADLINE)[1]
        assert not alive, f"still running: {alive}"
        return code


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Dev]]:
    """Start `dev` in `tmp_path` or in another folder. Everything is ended after the test."""
    started: list[Dev] = []

    def start(folder: Path = tmp_path, **options: Any) -> Dev:
        started.append(Dev(folder, **options))
        return started[-1]

    yield start
    for dev in started:
        dev.processes()
        if dev.process.poll() is None:
            dev.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                dev.process.wait(10)
        for process in dev.seen:
            with contextlib.suppress(psutil.Error):
                process.kill()
        dev.process.wait()


def write_project(folder: Path) -> Path:
    """Write the files of the small project."""
    for name, text in {
        "pyproject.toml": PYPROJECT,
        "app/__init__.py": "",
        "app/main.py": APP,
        "app/words.py": 'GREETING = "hello"',
        "app/api/__init__.py": "",
    }.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


@pytest.fixture(scope="session")
def created_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with a cluster: copying it is a second faster than creating one in each test."""
    folder = tmp_path_factory.mktemp("created")
    with run_postgres(folder):
        pass
    return folder


@pytest.fixture
def project(tmp_path: Path, created_state: Path) -> Path:
    """A project that has run before."""
    shutil.copytree(created_state, tmp_path / ".dev")
    return write_project(tmp_path)
