"""`make demo` as somebody types it who has Python, pip and make: from a clone to a running project."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tools.bake import copy_template

pytestmark = [pytest.mark.posix, pytest.mark.slow]
PATIENCE = 600  # seconds: everything may have to be downloaded


def path_without_uv() -> str:
    """What PATH has of folders that hold neither uv nor the Python of an environment, which has no pip."""
    folders = map(Path, os.environ["PATH"].split(os.pathsep))
    kept = [str(at) for at in folders if not (at / "uv").exists() and not (at.parent / "pyvenv.cfg").exists()]
    return os.pathsep.join(kept)


def running() -> dict[int, int]:
    """All processes that are not dead, each with its parent."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
    rows = (line.split() for line in listed.stdout.splitlines())
    return {int(pid): int(parent) for pid, parent, state, *_ in rows if not state.startswith("Z")}


def family_of(pid: int) -> set[int]:
    """A process and all below it."""
    found, parents = {pid}, running()
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def test_make_demo_brings_uv_and_runs_until_ctrl_c(tmp_path: Path):
    folder, log = copy_template(tmp_path / "saas-starter"), tmp_path / "log"
    path = path_without_uv()
    assert shutil.which("make", path=path)
    unset = ("VIRTUAL_ENV", "UV", "DATABASE_URL", "REDIS_URL", "MAKEFLAGS", "MAKELEVEL")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    with log.open("wb") as output:
        make = subprocess.Popen(
            ["make", "demo"],
            cwd=folder,
            env=environment | {"PATH": path, "PORT": "0"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    family: set[int] = set()
    try:
        deadline = time.monotonic() + PATIENCE
        while "\nready: http://127.0.0.1:" not in log.read_text():
            assert make.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        family = family_of(make.pid)
        os.killpg(make.pid, signal.SIGINT)  # as a terminal does: make, uv and dev get it
        code = make.wait(60)
    finally:
        if make.poll() is None:
            os.killpg(make.pid, signal.SIGKILL)
            make.wait()
    said = log.read_text()
    assert said.startswith("No uv on this machine: installing it into .uv/ ... ")
    assert "Generating the default project into .demo/acme ... " in said
    assert (folder / ".uv/bin/uv").is_file()
    assert "dev       stopped" in said
    assert len(family) > 8
    assert family & set(running()) == set()
    assert "error" not in said.lower().partition("\nready: ")[2]
    assert code == -signal.SIGINT, said  # make itself, after its recipe has ended
