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

from devstack.engines import postgres

LIMIT = 30.0  # seconds that anything may take on a busy machine

PYPROJECT = """
[tool.devstack.processes.api]
command = "granian --interface asgi --host $HOST --port $PORT app.main:app"
ready = "http://$HOST:$PORT/api/health"
reload = ["app", ".env"]
hot = ["app/api"]
"""

APP = """
import os, asyncpg, redis.asyncio
from app import words

async def answer(path):
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
        status, text = 200, await answer(scope["path"])
    except Exception as error:
        status, text = 503, repr(error)
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})
"""


def eventually(ask: Callable[[], Any], limit: float = LIMIT) -> Any:
    """Ask until the answer is true, and give it."""
    deadline = time.monotonic() + limit
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"not within {limit} s"
        time.sleep(0.02)
    return answer


class Dev:
    """`dev` in a folder; its output goes to a file, so that nothing waits for us to read it."""

    def __init__(
        self,
        folder: Path,
        wrapper: tuple[str, ...] = (),
        arguments: tuple[str, ...] = (),
        output: int | None = None,
        **environment: str,
    ) -> None:
        self.folder, self.log = folder, folder / f"output-{time.monotonic_ns()}"
        unset = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "PORT", "ENVIRONMENT", "NO_COLOR")
        inherited = {name: value for name, value in os.environ.items() if name not in unset}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*wrapper, sys.executable, "-m", "devstack.cli", *arguments],
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

    def says(self, text: str, times: int = 1) -> str:
        """Wait for a text; a `dev` that ended will not say it any more."""

        def said() -> bool:
            ended = self.process.poll() is not None
            found = self.output.count(text) >= times
            assert found or not ended, f"ended without {text!r}:\n{self.output}"
            return found

        eventually(said)
        return self.output

    def ready(self) -> "Dev":
        self.says("ready: http")
        self.url = self.output.rpartition("ready: ")[2].strip().splitlines()[0]
        self.family()
        return self

    def get(self, path: str) -> tuple[int, str]:
        """Status and body; (0, reason) if nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def family(self) -> list[psutil.Process]:
        """All its processes; remembered, to know later that they are gone."""
        with contextlib.suppress(psutil.Error):
            found = psutil.Process(self.process.pid)
            self.seen |= {found, *found.children(recursive=True)}
        return list(self.seen)

    def child(self, name: str) -> psutil.Process:
        """The process that the file of this name tells of."""
        pid = int(eventually(lambda: (self.folder / ".dev" / f"{name}.pid").read_text()))
        return psutil.Process(pid)

    def ends(self, how: signal.Signals | None = None) -> int:
        """Send a signal and wait; nothing of it may be left. The exit code."""
        self.family()
        if how:
            self.process.send_signal(how)
        code = self.process.wait(LIMIT)
        alive = psutil.wait_procs(self.seen, timeout=LIMIT)[1]
        assert not alive, f"left behind: {alive}"
        return code


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Dev]]:
    """Start `dev`, in `tmp_path` or a folder of that name beside it; all are ended with the test."""
    started: list[Dev] = []

    def begin(folder: Path = tmp_path, **options: Any) -> Dev:
        started.append(Dev(folder, **options))
        return started[-1]

    yield begin
    for dev in started:
        dev.family()
        if dev.process.poll() is None:
            dev.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                dev.process.wait(10)
        for process in dev.seen:
            with contextlib.suppress(psutil.Error):
                process.kill()
        dev.process.wait()


def write_project(folder: Path) -> Path:
    """The files of the small project."""
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
def made_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder whose database is made already: a second less for each test."""
    folder = tmp_path_factory.mktemp("made")
    with postgres(folder):
        pass
    return folder


@pytest.fixture
def project(tmp_path: Path, made_state: Path) -> Path:
    """A project that ran before."""
    shutil.copytree(made_state, tmp_path / ".dev")
    return write_project(tmp_path)
