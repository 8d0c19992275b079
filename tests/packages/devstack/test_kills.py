"""`kill -9` of any process: no orphans, no corrupt data, and recovery without a restart."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from .conftest import DEADLINE, Dev, eventually, write_project

pytestmark = pytest.mark.slow

linux = pytest.mark.skipif(sys.platform != "linux", reason="on other systems the next start ends the orphans")


def wait_for_servers(dev: Dev) -> None:
    """Wait until the running API can use both servers."""
    for path in "/database", "/cache":
        eventually(lambda path=path: dev.get(path)[0] == 200)


@linux
def test_data_survives_a_kill_of_dev_and_of_the_api(project: Path, start):
    first = start().ready()
    assert first.get("/database") == (200, "1")
    assert first.get("/cache") == (200, "1")
    first.exit(signal.SIGKILL)

    second = start().ready()
    assert second.get("/database") == (200, "2")
    assert second.get("/cache") == (200, "2")
    api = second.child("api")
    workers = api.children()
    second.process.kill()
    api.kill()  # orphans its worker; the next start ends it if it is still running

    third = start().ready()
    assert not psutil.wait_procs(workers, timeout=DEADLINE)[1]
    assert third.get("/database") == (200, "3")


def test_killed_servers_and_a_killed_api_are_restarted(project: Path, start):
    dev = start().ready()
    wait_for_servers(dev)
    api = dev.child("api")
    for server in "postgres", "valkey":
        dev.child(server).kill()
        dev.wait_for(f"{server:8}  killed by SIGKILL; restarting in 0.2 s")
        dev.wait_for(f"{server:8}  ready on ", times=2)
        wait_for_servers(dev)
    assert dev.child("api") == api

    for times, victim in enumerate((api, None), start=2):
        old = {main := dev.child("api"), *main.children(recursive=True)}
        (victim or main.children()[0]).kill()  # None: granian's worker process
        dev.wait_for("api       ready at ", times=times)
        assert not psutil.wait_procs(old, timeout=DEADLINE)[1]
        assert dev.get("/api/health") == (200, "hello")
    assert dev.exit(signal.SIGTERM) == 0


def test_kill_while_the_cluster_is_created_leaves_no_incomplete_one(tmp_path: Path, start):
    write_project(tmp_path)
    dev = start()
    state = tmp_path / ".dev"
    eventually(lambda: list(state.glob("postgres.init-*/PG_VERSION")))
    dev.processes()
    dev.process.kill()
    again = start().ready()
    assert again.get("/database") == (200, "1")
    assert not list(state.glob("postgres.init-*"))


def test_pid_file_with_the_pid_of_another_program_is_ignored(project: Path, start):
    """After a crash of the machine, another program may have the pid: it is not killed."""
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        text = f"{other.pid}\n{project}/.dev/postgres\n1\n5432\n\n127.0.0.1\n"
        (project / ".dev/postgres/postmaster.pid").write_text(text)
        (project / ".dev/valkey").mkdir()
        for name in "valkey/pid", "api.pid":
            (project / ".dev" / name).write_text(str(other.pid))
        dev = start().ready()
        assert dev.get("/database") == (200, "1")
        assert other.poll() is None
    finally:
        other.communicate(b"\n")


@linux
def test_servers_end_with_a_killed_test_run(tmp_path: Path):
    code = f"""
import pathlib, sys
from devstack import run_postgres, run_valkey
with run_postgres(pathlib.Path({str(tmp_path)!r})), run_valkey(pathlib.Path({str(tmp_path)!r})):
    print("up", flush=True)
    sys.stdin.read()
"""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as run:
        assert run.stdout
        assert run.stdout.readline() == b"up\n"
        servers = psutil.Process(run.pid).children(recursive=True)
        assert {server.name() for server in servers} >= {"postgres", "valkey-server"}
        run.kill()
    assert not psutil.wait_procs(servers, timeout=DEADLINE)[1]


@pytest.mark.skipif(not shutil.which("uv"), reason="needs uv")
def test_dev_ends_when_uv_run_is_killed(project: Path, start):
    """`uv run` cannot pass SIGKILL on."""
    uv = ("uv", "run", "--no-project", "--python", sys.executable, "--")
    dev = start(wrapper=uv).ready()
    assert dev.exit(signal.SIGKILL) == -signal.SIGKILL
