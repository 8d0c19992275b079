"""Generated projects do what they promise: their own tests, their own check, their own commands."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tools.bake import PROJECT

WHOLE = (
    "tests/api",
    "tests/test_architecture.py",
    "tests/test_dev.py",
    "tests/test_openapi.py",
    "tests/test_settings.py",
)
"""Of the whole project, where its names matter: test_tree.py says that all else is what `make test` runs in place."""
MINIMAL = (
    *WHOLE,
    *(f"tests/accounts/test_{name}.py" for name in ("account", "csrf", "sessions")),
    *(f"tests/jobs/test_{name}.py" for name in ("events", "guarantees", "mail")),
    *(f"tests/test_{name}.py" for name in ("errors", "fuzz", "logging", "routes", "transaction")),
)
"""Of the minimal one, where it matters what is missing: routes, tables, kinds of jobs."""


def run(project: Path, *command: str) -> str:
    """Run a command in a project as somebody would who has just generated it."""
    environment = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTEST_ADDOPTS")}
    done = subprocess.run(
        command, cwd=project, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, f"{' '.join(command)} in {project}:\n{output}"
    return output


@pytest.fixture(scope="module", params=["whole", "minimal"])
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project to work in; the generated ones stay as they are, for the tests that only look."""
    generated: Path = request.getfixturevalue(request.param)
    return shutil.copytree(generated, tmp_path_factory.mktemp(request.param) / "acme")


@pytest.fixture
def variant(request: pytest.FixtureRequest) -> str:
    return request.node.callspec.params["project"]


def test_golden_contract(project: Path, variant: str, update_golden: bool):
    """No hook can import the application, so the minimal project's openapi.json is made here and kept."""
    check = [] if update_golden else ["--check"]
    run(project, "uv", "run", "--quiet", "python", "-m", "app.openapi", *check)
    if update_golden:
        kept = {"whole": "openapi.json", "minimal": "openapi.minimal.json"}[variant]
        (PROJECT / kept).write_bytes((project / "openapi.json").read_bytes())


@pytest.mark.posix
def test_its_tests_pass(project: Path, variant: str, record_suite):
    """In the minimal project all that its smaller application could break; in the whole one what its names could."""
    chosen = {"whole": WHOLE, "minimal": MINIMAL}[variant]
    record_suite(variant, run(project, "uv", "run", "--quiet", "pytest", "--color=no", *chosen))


@pytest.mark.posix
def test_its_check_passes(project: Path):
    run(project, "make", "check")


def test_its_first_sync_writes_a_lock_that_git_would_commit(project: Path):
    run(project, "uv", "lock", "--quiet")
    run(project, "git", "init", "--quiet")
    seen = run(project, "git", "ls-files", "--others", "--exclude-standard").splitlines()
    assert "uv.lock" in seen
    assert ".gitignore" in seen
    assert not [name for name in seen if name.startswith((".venv/", ".dev/"))]


def test_what_runs_before_each_commit_passes(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As pre-commit does it, which hands over file names: those in brackets, too."""
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path))
    run(project, "git", "init", "--quiet")
    run(project, "git", "add", "--all")
    said = run(project, "pre-commit", "run", "--all-files", "--color=never")
    assert said.count("Passed") == 4, said


@pytest.mark.posix
def test_make_help_names_every_target(project: Path):
    named = {line.split()[1] for line in run(project, "make").splitlines() if line.startswith("make ")}
    assert named == {"help", "dev", "test", "check", "routes"}
