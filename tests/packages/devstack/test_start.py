"""What a person sees and sets: lines, addresses, ports, the exit code."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from dotenv import dotenv_values

from devstack import row
from devstack.errors import Problem
from devstack.project import Project

from .conftest import write_project

pytestmark = pytest.mark.slow


def test_runs_everything_and_ends_cleanly(project: Path, start):
    dev = start().ready()
    assert dev.get("/api/health") == (200, "hello")
    assert dev.get("/database") == (200, "1")
    assert dev.get("/cache") == (200, "1")
    shared = project / ".dev/urls.env"
    assert shared.stat().st_mode & 0o777 == 0o600
    values = dotenv_values(shared)
    assert values["ENVIRONMENT"] == "development"
    assert dev.url.endswith(f":{values['PORT']}")
    assert dev.ends(signal.SIGINT) == 0
    assert not shared.exists()
    lines = dev.output.splitlines()
    assert f"ready: {dev.url}" in lines
    assert [line.split()[0] for line in lines if " ready " in line][-1] == "api"
    assert "\x1b" not in dev.output

    again = start().ready()
    assert again.get("/database") == (200, "2")
    assert again.get("/cache") == (200, "2")
    assert again.ends(signal.SIGTERM) == 0


ROWS = """
[tool.devstack.processes.worker]
command = "python worker.py"
ready = "worker is ready"
reload = ["worker.py"]

[tool.devstack.processes.postbox]
command = "python -m http.server --bind $HOST $MAIL_PORT"
ready = "http://$HOST:$MAIL_PORT"
page = "http://$HOST:$MAIL_PORT"

[tool.devstack.processes.resting]
command = "python -m http.server --bind $HOST $MAIL_PORT$UNKNOWN"
ready = "http://$HOST:$UNKNOWN"
page = "http://$HOST:$UNKNOWN"
"""


def test_the_last_line_waits_until_every_row_is_ready(project: Path, start):
    with (project / "pyproject.toml").open("a") as file:
        file.write(ROWS.replace("$MAIL_PORT$UNKNOWN", "0"))
    (project / "worker.py").write_text("import time\ntime.sleep(1)\nraise SystemExit(7)\n")
    dev = start()
    dev.says("worker    ended with code 7 before it answered; waits for a change")
    dev.says("postbox   ready at http://127.0.0.1:")
    assert "api       ready at http://127.0.0.1:" in dev.output
    assert "resting   ready  " in dev.output
    assert "ready: http" not in dev.output
    assert "Ready in" not in dev.output

    (project / "worker.py").write_text("import time\nprint('the worker is ready.')\ntime.sleep(1000)\n")
    dev.ready()
    assert dev.output.index("worker    ready  ") < dev.output.index("Ready in")
    lines = dev.output.partition("Ready in")[2].splitlines()
    block = dict(line.split(maxsplit=1) for line in lines[1 : lines.index("")])
    assert list(block) == ["API", "docs", "postbox", "folder", "stop"]
    assert block["API"] == f"{dev.url.replace('127.0.0.1', 'localhost')}/api/health"
    assert block["postbox"].startswith("http://127.0.0.1:")
    assert len({line.index(line.split()[1]) for line in lines[1 : lines.index("")]}) == 1


def test_a_silent_row_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch):
    with (write_project(tmp_path) / "pyproject.toml").open("a") as file:
        file.write('[tool.devstack.processes.worker]\ncommand = "python -V"\nready = " ready."\n')
    project = Project(tmp_path)
    service = row.RowService(project, project.rows[1])
    assert service.command
    assert not service.answers()
    monkeypatch.setattr(row, "SILENCE", 0.0)
    assert service.answers()
    assert service.where == "as it seems: it runs, but does not say ' ready.'"
    assert service.telling("worker@here ready.")
    assert service.answers()
    assert service.where == ""


def test_reset_starts_with_an_empty_database(project: Path, start):
    first = start().ready()
    assert first.get("/database") == (200, "1")
    assert first.ends(signal.SIGINT) == 0
    again = start(arguments=("--reset", "--yes")).ready()
    assert again.get("/database") == (200, "1")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of its own")
def test_a_terminal_gets_aligned_and_coloured_names(project: Path, start):
    import pty

    leader, follower = pty.openpty()
    dev = start(output=follower)
    os.close(follower)

    def read() -> None:
        with suppress(OSError):  # the last writer is gone
            while chunk := os.read(leader, 4096):
                with dev.log.open("ab") as log:
                    log.write(chunk.replace(b"\r\n", b"\n"))

    reader = threading.Thread(target=read)
    reader.start()
    dev.ready()
    assert dev.ends(signal.SIGINT) == 0
    reader.join()
    os.close(leader)
    named = [line for line in dev.output.splitlines() if line.startswith("\x1b[")]
    names = [re.match(r"\x1b\[(\d+)m(\w+ *)\x1b\[0m (?: \w| \||\|)", line) for line in named]
    assert all(names)
    colours = {found[2].strip(): found[1] for found in names if found}
    assert {"postgres", "valkey", "migrate", "api", "dev"} <= set(colours)
    assert len(set(colours.values())) == len(colours)
    assert {len(found[2]) for found in names if found} == {len("postgres")}
    assert f"ready: {dev.url}" in dev.output.splitlines()


def test_second_dev_says_where_the_first_is(project: Path, start):
    first = start().ready()
    second = start()
    assert second.ends() == 1
    assert f"runs in this folder already: {first.url} (pid {first.process.pid})" in second.output
    assert first.get("/api/health")[0] == 200


def test_two_projects_at_once(tmp_path: Path, start):
    folders = [write_project(tmp_path / name) for name in ("one", "two")]
    devs = [dev.ready() for dev in [start(folder, PORT="") for folder in folders]]
    assert len({dev.url for dev in devs}) == 2
    for dev in devs:
        assert dev.get("/database") == (200, "1")
    assert [dev.ends(signal.SIGINT) for dev in devs] == [0, 0]


def test_port_in_use(tmp_path: Path, start):
    write_project(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        dev = start(PORT=port)
        assert dev.ends() == 1
        assert f"PORT={port} is in use" in dev.output
        if sys.platform == "linux":  # elsewhere only root may ask
            assert f"PORT={port} is in use by " in dev.output
            assert "(pid " in dev.output
        engine = start(POSTGRES_PORT=port)
        assert engine.ends() == 1
        assert f"POSTGRES_PORT={port} is in use" in engine.output


def test_fixed_ports_from_env_file(project: Path, start, unused_tcp_port_factory):
    ports = {name: unused_tcp_port_factory() for name in ("PORT", "POSTGRES_PORT", "VALKEY_PORT")}
    (project / ".env").write_text(
        "".join(f"{name}={port}\n" for name, port in ports.items() if name != "PORT")
    )
    dev = start(PORT=str(ports["PORT"])).ready()
    values = dotenv_values(project / ".dev/urls.env")
    assert dev.url == f"http://127.0.0.1:{ports['PORT']}"
    assert f":{ports['POSTGRES_PORT']}/app" in str(values["DATABASE_URL"])
    assert f":{ports['VALKEY_PORT']}/0" in str(values["REDIS_URL"])
    assert f":{ports['VALKEY_PORT']}/1" in str(values["CELERY_BROKER_URL"])


@pytest.mark.parametrize("port", ["80O0", "-1", "65536", "\u0668\u0660"])
def test_port_that_is_none(tmp_path: Path, monkeypatch, port):
    monkeypatch.setenv("PORT", port)
    with pytest.raises(Problem, match=f"PORT is a number from 0 to 65535, not '{port}'"):
        Project(write_project(tmp_path)).port("PORT")


def test_env_file_lies_below_the_environment(tmp_path: Path, monkeypatch):
    project = Project(write_project(tmp_path))
    monkeypatch.setenv("PORT", "1")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    (tmp_path / ".env").write_text("PORT=2\nDATABASE_URL=postgresql://there/app\n")
    project.given["DATABASE_URL"] = "postgresql://here/app"
    assert project.port("PORT") == 1
    assert project.environment()["DATABASE_URL"] == "postgresql://there/app"
    assert project.command("python -c '$DATABASE_URL $UNKNOWN'")[1:] == [
        "-c",
        "postgresql://there/app $UNKNOWN",
    ]


def test_env_file_that_cannot_be_read(tmp_path: Path):
    project = Project(write_project(tmp_path))
    (tmp_path / ".env").write_bytes(b"PORT=\xff\n")
    with pytest.raises(Problem, match=r"\.env cannot be read"):
        project.settings()
    (tmp_path / ".env").write_text("# a comment\nPORT=0\n=5\n")
    with pytest.raises(Problem, match=r"\.env, line 3: not of the form NAME=value"):
        project.settings()


def test_help_and_unknown_options():
    def run(option: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "devstack.cli", option]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert run("--help").returncode == 0
    assert "--reset" in run("--help").stdout
    assert run("--nonsense").returncode == 2


@pytest.mark.parametrize(
    "text", ["", "[tool.devstack]\n", "[tool.devstack.processes]\napi = 'granian'\n", "["]
)
def test_project_without_a_table(tmp_path: Path, text):
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(Problem, match=r"pyproject\.toml"):
        Project(tmp_path)


def test_no_project(tmp_path: Path, start):
    dev = start(tmp_path)
    assert dev.ends() == 1
    assert dev.output.startswith("\nerror: No pyproject.toml in ")
