"""`make demo` on a machine that has Python, pip and make, but not uv."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tools.bake import copy_template

pytestmark = [pytest.mark.posix, pytest.mark.slow]
TIMEOUT = 600  # seconds; all packages may have to be downloaded


def path_without_uv() -> str:
    """Return PATH without the folders that contain uv or the Python of a virtual environment, which has no pip."""
    folders = map(Path, os.environ["PATH"].split(os.pathsep))
    kept = [str(at) for at in folders if not (at / "uv").exists() and not (at.parent / "pyvenv.cfg").exists()]
    return os.pathsep.join(kept)


def running() -> dict[int, int]:
    """Return the parent of every process that is not a zombie."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
    rows = (line.split() for line in listed.stdout.splitlines())
    return {int(pid): int(parent) for pid, parent, state, *_ in rows if not state.startswith("Z")}


def process_tree(pid: int) -> set[int]:
    """Return the ids of a process and its descendants."""
    found, parents = {pid}, running()
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def test_make_demo_installs_uv_and_runs_until_ctrl_c(tmp_path: Path):
    folder, log = copy_template(tmp_path / "saas-starter"), tmp_path / "log"
    path = path_without_uv()
    assert shutil.which("make", path=path)
    unset = ("VIRTUAL_ENV", "UV", "DATABASE_URL", "REDIS_URL", "MAKEFLAGS", "MAKELEVEL")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    with log.open("wb") as log_file:
        make = subprocess.Popen(
            ["make", "demo"],
            cwd=folder,
            env=environment | {"PATH": path, "PORT": "0"},
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    tree: set[int] = set()
    try:
        deadline = time.monotonic() + TIMEOUT
        while "\nready: http://127.0.0.1:" not in log.read_text():
            assert make.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        tree = process_tree(make.pid)
        os.killpg(make.pid, signal.SIGINT)  # as a terminal does: make, uv and dev receive it
        code = make.wait(60)
    finally:
        if make.poll() is None:
            os.killpg(make.pid, signal.SIGKILL)
            make.wait()
    output = log.read_text()
    assert output.startswith("No uv on this machine: installing it into .uv/ ... ")
    assert "Generating the default project into .demo/acme ... " in output
    assert (folder / ".uv/bin/uv").is_file()
    assert "dev       stopped" in output
    assert len(tree) > 8
    assert tree & set(running()) == set()
    assert "error" not in output.lower().partition("\nready: ")[2]
    assert code == -signal.SIGINT, output  # make itself, after its recipe has ended
