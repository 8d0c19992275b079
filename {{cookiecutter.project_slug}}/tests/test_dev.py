"""`uv run dev` with this project's configuration, in a copy of the project."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


class Dev:
    """A running `dev`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "output"
        inherited = {
            name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "devstack.cli"],
                cwd=folder,
                env=inherited | {"PYTHONPATH": str(folder), "PORT": "0"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.http = httpx2.Client(base_url=self.wait_for_line(r"^ready: (http://\S+)$"), timeout=10)

    @property
    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for_line(self, pattern: str) -> str:
        """Return the first group of the first match, once there is one."""
        self.wait(lambda: re.search(f"(?m){pattern}", self.output))
        return re.findall(f"(?m){pattern}", self.output)[0]

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until the condition is true."""
        deadline = time.monotonic() + 90
        while not condition():
            assert time.monotonic() < deadline, f"not within 90 s:\n{self.output}"
            time.sleep(0.02)

    def status(self, path: str) -> int:
        return self.http.get(path).status_code

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def pid(self, name: str) -> int:
        return int((self.folder / f".dev/{name}.pid").read_text())


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """One `dev` for all tests of this file. It must exit with 0 and leave no process behind."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("app", "migrations"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "pyproject.toml", folder)
    dev = Dev(folder)
    processes = dev.processes()
    try:
        yield dev
    finally:
        dev.http.close()
        dev.process.send_signal(signal.SIGINT)
        assert dev.process.wait(60) == 0
        assert psutil.wait_procs(processes, timeout=20)[1] == []


def test_every_process_is_ready_before_the_last_line(dev: Dev):
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["devstack"]["processes"]
    assert [name for name, config in configured.items() if not config.get("ready")] == []
    ready = re.findall(r"(?m)^(\w+) +ready  ?(?:at|\d)", dev.output.partition("Ready in")[0])
    assert set(configured) <= set(ready)
    assert dev.http.get("/api/ready").json()["status"] == "ok"
    page = dev.wait_for_line(r"^ +api +(http://localhost:\d+/docs)$")
    assert httpx2.get(page).status_code == 200


def test_only_this_machine_reaches_the_processes(dev: Dev):
    """Servers without a password, such as the identity provider, are among them."""
    listening = {
        connection.laddr.ip
        for process in dev.processes()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_a_saved_route_file_is_live_at_the_next_request(dev: Dev):
    route = dev.folder / "app/api/status/[code].py"
    assert dev.status("/api/status/7") == 404
    route.parent.mkdir()
    text = "from filerouter import RouteConfig\n\nconfig = RouteConfig(public=True)\n\n\n"
    route.write_text(text + "async def get(code: int) -> int:\n    return code\n")
    assert dev.http.get("/api/status/7").json() == 7
    route.write_text("async def gett(code: int) -> int:\n    return code\n")
    broken = dev.http.get("/api/status/7")
    assert (broken.status_code, "Did you mean get?" in broken.json()["detail"]) == (500, True)
    route.unlink()
    assert dev.status("/api/status/7") == 404
    assert "restarting" not in dev.output


def test_a_changed_job_restarts_the_processes_that_import_it(dev: Dev):
    before = {name: dev.pid(name) for name in ("api", "relay", "worker")}
    with (dev.folder / "app/accounts/jobs.py").open("a") as job:
        job.write("\n# changed\n")
    for name, pid in before.items():
        dev.wait_for_line(rf"^({name}) +restarting: app/accounts/jobs\.py changed")
        dev.wait_for_line(rf"^{name} +restarting[\s\S]*\n({name}) +ready ")
        assert dev.pid(name) != pid
    assert dev.status("/api/health") == 200


def test_the_api_survives_a_kill_of_its_servers(dev: Dev):
    api = dev.pid("api")
    for server in ("postgres", "valkey"):
        psutil.Process(dev.pid(server)).kill()
        dev.wait_for_line(rf"^({server}) +killed by SIGKILL")
        dev.wait(lambda: dev.http.get("/api/ready").json().get("status") == "ok")
    assert dev.pid("api") == api
