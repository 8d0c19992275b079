"""A project whose folder was moved or copied, with its Python environment."""

import shutil
import signal
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from devstack import environment
from devstack.project import Project

from .conftest import Dev, write_project

CURE = "delete .venv and run `uv sync --all-packages`"
SCRIPT = "#!{python}\n# -*- coding: utf-8 -*-\nimport sys\n{code}\n"
GRANIAN = "from granian import cli\nsys.exit(cli.entrypoint())"


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    """A project in `acme` with an environment in `.venv`, which finds the installed packages."""
    folder = write_project(tmp_path / "acme")
    venv.create(folder / ".venv", symlinks=True)
    python = folder / ".venv/bin/python"
    write_script(folder / ".venv/bin/granian", python, GRANIAN)
    (packages,) = (folder / ".venv/lib").glob("python*/site-packages")
    (packages / "installed.pth").write_text(f"import site; site.addsitedir({site.getsitepackages()[0]!r})\n")
    return folder


def write_script(path: Path, python: Path, code: str) -> None:
    path.write_text(SCRIPT.format(python=python, code=code))
    path.chmod(0o755)


def on(folder: Path, code: str) -> str:
    """Run code on the Python of a folder's environment."""
    command = [folder / ".venv/bin/python", "-c", code]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


STALE = "from devstack.environment import stale_environment; import pathlib; "
STALE += "print(stale_environment(pathlib.Path.cwd()))"


def test_an_environment_in_its_place_is_not_stale(acme: Path, tmp_path: Path):
    assert on(acme, STALE) == "None"
    (tmp_path / "link").symlink_to(acme)
    assert on(tmp_path / "link", STALE) == "None"


def test_a_moved_or_copied_environment_is_named_with_its_cure(acme: Path, tmp_path: Path):
    old = acme / ".venv/bin"
    shutil.copytree(acme, tmp_path / "copy", symlinks=True)
    expected = f".venv was made in another folder (granian runs on {old}): {CURE}"
    assert on(tmp_path / "copy", STALE) == expected
    assert on(acme.rename(tmp_path / "moved"), STALE) == expected


def test_an_environment_that_is_not_in_use_is_named(acme: Path, tmp_path: Path):
    assert environment.stale_environment(acme) == (
        f"running on the Python of {sys.prefix}, not on this folder's: {CURE}"
    )
    assert environment.stale_environment(tmp_path) is None  # it has none of its own


@pytest.mark.parametrize(
    ("head", "folder"),
    [
        ("#!/a/.venv/bin/python\n", "/a/.venv/bin"),
        ("#!/a/.venv/bin/python3.12\n", "/a/.venv/bin"),
        ("#!/bin/sh\n'''exec' '/a b/.venv/bin/python' \"$0\" \"$@\"\n", "/a b/.venv/bin"),
        ('#!/bin/sh\n\'\'\'exec\' "$(dirname -- "$(realpath -- "$0")")"/\'python\' "$0"\n', None),
        ("#!/usr/bin/env bash\necho /a/python\n", None),
        ("echo /a/python\n", None),
    ],
)
def test_the_interpreter_of_a_script(tmp_path: Path, head: str, folder: str | None):
    (tmp_path / "script").write_text(head)
    assert environment.interpreter_folder(tmp_path / "script") == (Path(folder) if folder else None)


def test_scripts_of_the_environment_run_on_the_running_python(tmp_path: Path):
    project = Project(write_project(tmp_path))
    granian = Path(sys.executable).parent / "granian"
    assert project.command("granian --version") == [sys.executable, str(granian), "--version"]
    assert project.command("python -V")[1:] == ["-V"]
    assert len(project.command("sh -c true")) == 3


@pytest.mark.slow
@pytest.mark.parametrize("moved", [True, False])
def test_dev_runs_after_a_move_and_after_a_copy(acme: Path, created_state: Path, moved: bool, start):
    folder = acme.parent / "acme-2"
    if moved:
        acme.rename(folder)
    else:
        shutil.copytree(acme, folder, symlinks=True)
    shutil.copytree(created_state, folder / ".dev")
    dev: Dev = start(folder, python=folder / ".venv/bin/python").ready()
    assert CURE in dev.output
    assert dev.get("/api/health") == (200, "hello")
    assert dev.child("api").cmdline()[0] == str(folder / ".venv/bin/python")
    assert dev.exit(signal.SIGINT) == 0
