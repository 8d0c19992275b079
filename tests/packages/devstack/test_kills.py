"""`kill -9` of anything: no orphan, no corrupt folder, and what can recover does."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from .conftest import Dev, eventually, write_project

pytestmark = pytest.mark.slow

linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start ends the orphans")


def works_again(dev: Dev) -> None:
    """Everything answers again, without a restart of the API."""
    for path in "/database", "/cache":
        eventually(lambda path=path: dev.get(path)[0] == 200)


@linux
def test_kill_dev_and_then_the_server_with_it(project: Path, start):
    first = start().ready()
    assert first.get("/database") == (200, "1")
    assert first.get("/cache") == (200, "1")
    first.ends(signal.SIGKILL)

    second = start().ready()
    assert second.get("/database") == (200, "2")
    assert second.get("/cache") == (200, "2")
    api = second.child("api")
    workers = api.children()
    second.process.kill()
    api.kill()  # its worker is nobody's child now; if it outlives them, the next start ends it

    third = start().ready()
    assert not psutil.wait_procs(workers, timeout=10)[1]
    assert third.get("/database") == (200, "3")


def test_kill_the_engines_then_the_api(project: Path, start):
    dev = start().ready()
    works_again(dev)
    api = dev.child("api")
    for engine in "postgres", "valkey":
        dev.child(engine).kill()
        dev.says(f"{engine:8}  killed by SIGKILL; starts again in 0.2 s")
        dev.says(f"{engine:8}  ready on ", times=2)
        works_again(dev)
    assert dev.child("api") == api

    for times, victim in enumerate((api, None), start=2):
        old = {main := dev.child("api"), *main.children(recursive=True)}
        (victim or main.children()[0]).kill()  # None: the worker, which does the work
        dev.says("api       ready at ", times=times)
        assert not psutil.wait_procs(old, timeout=10)[1]
        assert dev.get("/api/health") == (200, "hello")
    assert dev.ends(signal.SIGTERM) == 0


def test_killed_while_making_the_database(tmp_path: Path, start):
    write_project(tmp_path)
    dev = start()
    state = tmp_path / ".dev"
    eventually(lambda: list(state.glob("postgres.init-*/PG_VERSION")))
    dev.family()
    dev.process.kill()
    again = start().ready()
    assert again.get("/database") == (200, "1")
    assert not list(state.glob("postgres.init-*"))


def test_pid_file_that_names_a_stranger(project: Path, start):
    """After a crash of the machine the pid may be anybody's: neither killed nor believed."""
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        text = f"{stranger.pid}\n{project}/.dev/postgres\n1\n5432\n\n127.0.0.1\n"
        (project / ".dev/postgres/postmaster.pid").write_text(text)
        (project / ".dev/valkey").mkdir()
        for name in "valkey/pid", "api.pid":
            (project / ".dev" / name).write_text(str(stranger.pid))
        dev = start().ready()
        assert dev.get("/database") == (200, "1")
        assert stranger.poll() is None
    finally:
        stranger.communicate(b"\n")


@linux
def test_engines_die_with_a_killed_test_run(tmp_path: Path):
    code = f"""
import pathlib, sys
from devstack.engines import postgres, valkey
with postgres(pathlib.Path({str(tmp_path)!r})), valkey(pathlib.Path({str(tmp_path)!r})):
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
    assert not psutil.wait_procs(servers, timeout=10)[1]


@pytest.mark.skipif(not shutil.which("uv"), reason="needs uv")
def test_kill_uv_run(project: Path, start):
    """It cannot pass the signal on; nobody would know that `dev` still runs."""
    uv = ("uv", "run", "--no-project", "--python", sys.executable, "--")
    dev = start(wrapper=uv).ready()
    assert dev.ends(signal.SIGKILL) == -signal.SIGKILL
