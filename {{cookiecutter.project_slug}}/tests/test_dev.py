"""`uv run dev` on a copy of this project: real servers, real HTTP, real signals."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import httpx2
import psutil
import pytest

pytestmark = pytest.mark.slow

T = TypeVar("T")
ROOT = Path(__file__).parent.parent
PARTS = ("app", "migrations", "pyproject.toml")


class Dev:
    """A running `dev` and what it printed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []
        names = {"PATH", "HOME", "LANG", "TMPDIR"}
        environment = {name: value for name, value in os.environ.items() if name in names}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "devstack.cli"],
            cwd=folder,
            env=environment | {"PYTHONPATH": str(folder), "PORT": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.url = self.wait_for_line(r"^ready: (http://\S+)$")
        self.http = httpx2.Client(base_url=self.url, timeout=10)

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as output:
            self.lines.extend(iter(output.readline, ""))

    def wait_for_line(self, pattern: str, seconds: float = 60) -> str:
        """The first group of the first printed line that matches."""

        def found() -> str | None:
            hits = (re.search(pattern, line) for line in list(self.lines))
            return next((hit[1] if hit.re.groups else hit[0] for hit in hits if hit), None)

        return wait(found, seconds, lambda: "".join(self.lines))

    def child(self, name: str) -> psutil.Process:
        """The process of ours with this program name and the most ancient start."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        named = [process for process in family if name in " ".join(process.cmdline()[:2])]
        return min(named, key=lambda process: process.create_time())


def wait(attempt: Callable[[], T | None], seconds: float = 30, why: Callable[[], str] = str) -> T:
    """What `attempt` returns once it is true; fails with `why()` when that takes too long."""
    deadline = time.monotonic() + seconds
    while not (value := attempt()):
        assert time.monotonic() < deadline, f"not in {seconds} s: {why()}"
        time.sleep(0.02)
    return value


def alive(process: psutil.Process) -> bool:
    """Whether it runs. (A zombie is dead, and waits for an init that does not collect it.)"""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """One `dev` for all tests of this file; it must end with status 0 and leave nobody behind."""
    folder = tmp_path_factory.mktemp("project")
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, folder / part)
    dev = Dev(folder)
    family = psutil.Process(dev.process.pid).children(recursive=True)
    yield dev
    dev.http.close()
    dev.process.send_signal(signal.SIGINT)
    assert dev.process.wait(20) == 0
    dev.reader.join()
    assert [process for process in family if alive(process)] == []


def test_everything_answers(dev: Dev):
    ready = dev.http.get("/api/ready").json()
    assert ready["status"] == "ok"
    assert dev.http.get("/docs").status_code == 200
    assert dev.http.get("/docs/assets/swagger-ui-bundle.js").status_code == 200


def test_the_last_line_stands_for_every_row(dev: Dev):
    """Each says how one knows that it is ready, and was, before `ready:`."""
    rows = tomllib.loads((dev.folder / "pyproject.toml").read_text())["tool"]["devstack"]["processes"]
    assert [name for name, row in rows.items() if not row.get("ready")] == []
    before = "".join(dev.lines).partition("Ready in")[0]
    silent = [name for name in rows if not re.search(rf"^{name} +ready (at|  ?\d)", before, re.MULTILINE)]
    assert silent == []


def test_a_new_file_is_an_endpoint_at_the_next_request(dev: Dev):
    """And within two seconds of being saved."""
    route = dev.folder / "app/api/status/[code].py"
    assert dev.http.get("/api/status/7").status_code == 404
    route.parent.mkdir()
    text = "from filerouter import RouteConfig\n\nconfig = RouteConfig(public=True)\n\n\n"
    saved = time.monotonic()
    route.write_text(text + "async def get(code: int) -> int:\n    return code\n")
    assert dev.http.get("/api/status/7").json() == 7
    assert time.monotonic() - saved < 2
    route.write_text(text + "async def get(code: int) -> int:\n    return code + 1  # edited\n")
    assert dev.http.get("/api/status/7").json() == 8
    route.write_text("async def gett(code: int) -> int:\n    return code\n")
    broken = dev.http.get("/api/status/7")
    assert broken.status_code == 500
    assert "Did you mean get?" in broken.json()["detail"]
    dev.wait_for_line("Did you mean get")
    route.unlink()
    assert dev.http.get("/api/status/7").status_code == 404
    assert dev.http.get("/api/health").status_code == 200


def test_the_database_dies_under_load_and_the_api_recovers(dev: Dev):
    """503 while it is away, 200 afterwards, by the same process of the API."""
    api = dev.child("granian").pid
    statuses: list[int] = []
    done = threading.Event()

    def load() -> None:
        with httpx2.Client(base_url=dev.url, timeout=10) as http:
            while not done.is_set():
                answer = http.get("/api/ready")
                statuses.append(answer.status_code)
                if answer.status_code != 200:
                    assert answer.headers["content-type"] == "application/problem+json"

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait(lambda: len(statuses) > 20)
    dev.child("postgres").kill()
    wait(lambda: 503 in statuses)
    wait(lambda: statuses[-20:] == [200] * 20, why=lambda: f"{statuses[-40:]} {''.join(dev.lines[-20:])}")
    done.set()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200, 503}
    assert dev.child("granian").pid == api


def test_a_changed_job_is_the_workers_at_once(dev: Dev):
    """Worker, relay and API start afresh."""
    job = dev.folder / "app/jobs/retention.py"
    job.write_text(job.read_text() + "\n# changed\n")
    for part in ("api", "relay", "worker"):
        dev.wait_for_line(rf"^{part} +restarting: app/jobs/retention.py changed")

    def ready_again() -> bool:
        return "ready." in "".join(dev.lines).partition("worker    restarting")[2].partition("celery@")[2]

    wait(ready_again, why=lambda: "".join(dev.lines[-30:]))
    assert wait(lambda: dev.http.get("/api/health").status_code == 200)


def test_the_cache_dies_and_the_api_only_says_so(dev: Dev):
    dev.child("valkey").kill()
    answers = [dev.http.get("/api/ready") for _ in range(5)]
    assert {answer.status_code for answer in answers} == {200}
    wait(lambda: dev.http.get("/api/ready").json()["cache"] == "ok")
