"""The output, the addresses, the ports, the settings and the exit code of `dev`."""

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
from devstack import DevstackError, free_port
from devstack import project as project_module
from devstack.project import Project, ProjectProcess
from devstack.state import ANY_HOST
from dotenv import dotenv_values

from .conftest import write_project

pytestmark = pytest.mark.slow


def test_dev_runs_everything_and_stops_cleanly(project: Path, start):
    dev = start().ready()
    assert dev.get("/api/health") == (200, "hello")
    assert dev.get("/database") == (200, "1")
    assert dev.get("/cache") == (200, "1")
    shared = project / ".dev/urls.env"
    assert shared.stat().st_mode & 0o777 == 0o600
    values = dotenv_values(shared)
    assert values["ENVIRONMENT"] == "development"
    assert dev.url.endswith(f":{values['PORT']}")
    assert dev.exit(signal.SIGINT) == 0
    assert not shared.exists()
    lines = dev.output.splitlines()
    assert f"ready: {dev.url}" in lines
    assert [line.split()[0] for line in lines if " ready " in line][-1] == "api"
    assert "\x1b" not in dev.output

    again = start().ready()
    assert again.get("/database") == (200, "2")
    assert again.get("/cache") == (200, "2")
    assert again.exit(signal.SIGTERM) == 0


POSTBOX = """
[tool.devstack.processes.postbox]
command = "python -m http.server --bind $HOST $MAIL_PORT"
ready = "http://$HOST:$MAIL_PORT"
page = "http://$HOST:$MAIL_PORT"
"""

MORE_PROCESSES = """
[tool.devstack.processes.worker]
command = "python worker.py"
ready = "worker is ready"
reload = ["worker.py"]

[tool.devstack.processes.unset]
command = "python -m http.server --bind $HOST $MAIL_PORT$UNKNOWN"
ready = "http://$HOST:$UNKNOWN"
page = "http://$HOST:$UNKNOWN"
"""


def test_the_last_line_is_printed_when_every_process_is_ready(project: Path, start):
    with (project / "pyproject.toml").open("a") as file:
        file.write(POSTBOX + MORE_PROCESSES.replace("$MAIL_PORT$UNKNOWN", "0"))
    (project / "worker.py").write_text("raise SystemExit(7)\n")
    dev = start()
    dev.wait_for("worker    exited with code 7 before becoming ready; waiting for a file change")
    dev.wait_for("postbox   ready at http://127.0.0.1:")
    assert "api       ready at http://127.0.0.1:" in dev.output
    dev.wait_for("unset     ready  ")
    assert "ready: http" not in dev.output
    assert "Ready in" not in dev.output

    (project / "worker.py").write_text("import time\nprint('the worker is ready.')\ntime.sleep(1000)\n")
    dev.ready()
    assert dev.output.index("worker    ready  ") < dev.output.index("Ready in")
    lines = dev.output.partition("Ready in")[2].splitlines()
    block = dict(line.split(maxsplit=1) for line in lines[1 : lines.index("")])
    assert list(block) == ["api", "postbox", "folder", "stop"]
    assert block["api"] == f"{dev.url.replace('127.0.0.1', 'localhost')}/docs"
    assert block["postbox"].startswith("http://127.0.0.1:")
    assert len({line.index(line.split()[1]) for line in lines[1 : lines.index("")]}) == 1


def test_a_process_that_never_prints_its_ready_text_counts_as_ready_after_a_while(tmp_path: Path, monkeypatch):
    with (write_project(tmp_path) / "pyproject.toml").open("a") as file:
        file.write('[tool.devstack.processes.worker]\ncommand = "python -V"\nready = " ready."\n')
    project = Project(tmp_path)
    process = ProjectProcess(project, project.processes[1])
    process.prepare()
    assert not process.is_ready()
    monkeypatch.setattr(project_module, "READY_TEXT_TIMEOUT", 0.0)
    assert process.is_ready()
    assert process.ready_message == "started, but never printed ' ready.'"
    assert process.observe("worker@here ready.")
    assert process.is_ready()
    assert process.ready_message == "ready"
    process.prepare()
    assert process.ready_message == "started, but never printed ' ready.'"


def test_reset_starts_with_an_empty_database(project: Path, start):
    first = start().ready()
    assert first.get("/database") == (200, "1")
    assert first.exit(signal.SIGINT) == 0
    again = start(arguments=("--reset", "--yes")).ready()
    assert again.get("/database") == (200, "1")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of its own")
def test_a_terminal_gets_aligned_and_coloured_names(project: Path, start):
    import pty

    leader, follower = pty.openpty()
    dev = start(output=follower)
    os.close(follower)

    def read() -> None:
        with suppress(OSError):  # the last writer has closed it
            while chunk := os.read(leader, 4096):
                with dev.log.open("ab") as log:
                    log.write(chunk.replace(b"\r\n", b"\n"))

    reader = threading.Thread(target=read)
    reader.start()
    dev.ready()
    assert dev.exit(signal.SIGINT) == 0
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


def test_a_second_dev_names_the_address_of_the_first(project: Path, start):
    first = start().ready()
    second = start()
    assert second.exit() == 1
    assert f"already running in this folder: {first.url} (pid {first.process.pid})" in second.output
    assert first.get("/api/health")[0] == 200


def test_two_projects_that_start_at_once_get_different_ports(tmp_path: Path, start):
    folders = [write_project(tmp_path / name) for name in ("one", "two")]
    devs = [dev.ready() for dev in [start(folder, PORT="") for folder in folders]]
    assert len({dev.url for dev in devs}) == 2
    for dev in devs:
        assert dev.get("/database") == (200, "1")
    assert [dev.exit(signal.SIGINT) for dev in devs] == [0, 0]


def test_a_port_in_use_is_an_error_that_names_its_owner(tmp_path: Path, start):
    write_project(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        dev = start(PORT=port)
        assert dev.exit() == 1
        assert f"PORT={port} is in use" in dev.output
        if sys.platform == "linux":  # other systems show it to root only
            assert f"PORT={port} is in use by " in dev.output
            assert "(pid " in dev.output
        server = start(POSTGRES_PORT=port)
        assert server.exit() == 1
        assert f"POSTGRES_PORT={port} is in use" in server.output


def test_fixed_ports_can_be_set_in_the_env_file(project: Path, start):
    ports = {name: free_port() for name in ("PORT", "POSTGRES_PORT", "VALKEY_PORT")}
    (project / ".env").write_text("".join(f"{name}={port}\n" for name, port in ports.items() if name != "PORT"))
    dev = start(PORT=str(ports["PORT"])).ready()
    values = dotenv_values(project / ".dev/urls.env")
    assert dev.url == f"http://127.0.0.1:{ports['PORT']}"
    assert f":{ports['POSTGRES_PORT']}/app" in str(values["DATABASE_URL"])
    assert f":{ports['VALKEY_PORT']}/0" in str(values["REDIS_URL"])
    assert f":{ports['VALKEY_PORT']}/1" in str(values["CELERY_BROKER_URL"])


@pytest.mark.parametrize("port", ["80O0", "-1", "65536", "\u0668\u0660"])
def test_an_invalid_port_is_an_error(tmp_path: Path, monkeypatch, port):
    monkeypatch.setenv("PORT", port)
    with pytest.raises(DevstackError, match=f"PORT must be a number from 0 to 65535, not '{port}'"):
        Project(write_project(tmp_path)).port("PORT")


@pytest.mark.parametrize("host", ["0.0.0.256", "all", "::1", "127.1", "192.0.2.1"])
def test_an_invalid_host_is_an_error(tmp_path: Path, start, host):
    dev = start(write_project(tmp_path), HOST=host)
    assert dev.exit() == 1
    assert f"error: HOST must be 0.0.0.0 or another IPv4 address of this machine, not {host!r}" in dev.output


@pytest.mark.parametrize("host", ["", "localhost", socket.gethostname()])
def test_the_name_of_the_machine_is_no_address_to_listen_on(tmp_path: Path, monkeypatch, host):
    monkeypatch.setenv("HOST", host)
    assert Project(write_project(tmp_path)).host_setting() == "127.0.0.1"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no 127.0.0.2")
@pytest.mark.parametrize("host", ["127.0.0.2", ANY_HOST])
def test_the_application_alone_listens_on_the_host(project: Path, start, host):
    with (project / "pyproject.toml").open("a") as file:
        file.write(POSTBOX)
    dev = start(HOST=host, MAIL_PORT=(mail_port := str(free_port()))).ready()
    port = dev.url.rpartition(":")[2]
    assert dev.url == f"http://{host}:{port}"
    assert f"ready at http://{host}:{port}/api/health" in dev.output
    page = "localhost" if host == ANY_HOST else host
    assert f"    api      http://{page}:{port}/docs" in dev.output
    assert (dev.folder / ".dev/running").read_text().startswith(f"{dev.url} ")
    assert dev.get("/api/health") == (200, "hello")
    dev.url = f"http://127.0.0.1:{port}"
    assert dev.get("/api/health")[0] == (200 if host == ANY_HOST else 0)
    assert f"http://127.0.0.1:{mail_port}" in dev.output
    with suppress(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", int(mail_port)), timeout=5).close()
        pytest.fail("another process listens on the host too")


def test_a_port_in_use_on_the_host_is_an_error(tmp_path: Path, start):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        dev = start(write_project(tmp_path), HOST=ANY_HOST, PORT=port)
        assert dev.exit() == 1
        assert f"PORT={port} is in use" in dev.output


def test_the_environment_overrides_the_env_file_and_both_the_defaults(tmp_path: Path, monkeypatch):
    project = Project(write_project(tmp_path))
    monkeypatch.setenv("PORT", "1")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    (tmp_path / ".env").write_text("PORT=2\nDATABASE_URL=postgresql://there/app\n")
    project.defaults["DATABASE_URL"] = "postgresql://here/app"
    assert project.port("PORT") == 1
    assert project.environment()["DATABASE_URL"] == "postgresql://there/app"
    assert project.command("python -c '$DATABASE_URL $UNKNOWN'")[1:] == [
        "-c",
        "postgresql://there/app $UNKNOWN",
    ]


def test_an_invalid_env_file_is_an_error(tmp_path: Path):
    project = Project(write_project(tmp_path))
    (tmp_path / ".env").write_bytes(b"PORT=\xff\n")
    with pytest.raises(DevstackError, match=r"\.env cannot be read"):
        project.settings()
    (tmp_path / ".env").write_text("# a comment\nPORT=0\n=5\n")
    with pytest.raises(DevstackError, match=r"\.env, line 3: not of the form NAME=value"):
        project.settings()


def test_help_and_unknown_options():
    def run(option: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "devstack.cli", option]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert run("--help").returncode == 0
    assert "--reset" in run("--help").stdout
    assert run("--nonsense").returncode == 2


@pytest.mark.parametrize("text", ["", "[tool.devstack]\n", "[tool.devstack.processes]\napi = 'granian'\n", "["])
def test_an_invalid_pyproject_is_an_error(tmp_path: Path, text):
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(DevstackError, match=r"pyproject\.toml"):
        Project(tmp_path)


def test_a_folder_without_a_project_is_an_error(tmp_path: Path, start):
    dev = start(tmp_path)
    assert dev.exit() == 1
    assert dev.output.startswith("\nerror: No pyproject.toml in ")
