"""Generated projects do what they promise: their own tests, their own check, their own commands."""

import os
import subprocess
from pathlib import Path

import pytest

from tools.bake import PROJECT

VARIANTS = ["whole", "minimal"]
UV = Path(os.environ.get("UV", "uv"))


def run(project: Path, *command: str) -> str:
    """Run a command in a project as somebody would who has just generated it."""
    environment = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTEST_ADDOPTS")}
    environment["PATH"] = f"{UV.parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        command, cwd=project, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, f"{' '.join(command)} in {project}:\n{output}"
    return output


@pytest.fixture
def project(variant: str, request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(variant)


def test_golden_contract(minimal: Path, update_golden: bool):
    """No hook can import the application, so the minimal project's openapi.json is made here and kept."""
    check = [] if update_golden else ["--check"]
    run(minimal, "uv", "run", "--quiet", "python", "-m", "app.core.openapi", *check)
    if update_golden:
        (PROJECT / "openapi.minimal.json").write_bytes((minimal / "openapi.json").read_bytes())


@pytest.mark.posix
@pytest.mark.parametrize("variant", VARIANTS)
def test_its_tests_pass(project: Path, variant: str, record_suite):
    record_suite(variant, run(project, "uv", "run", "--quiet", "pytest", "--color=no"))


@pytest.mark.posix
@pytest.mark.parametrize("variant", VARIANTS)
def test_its_check_passes(project: Path):
    run(project, "make", "check")


@pytest.mark.parametrize("variant", VARIANTS)
def test_its_first_sync_writes_a_lock_that_git_would_commit(project: Path):
    run(project, "uv", "lock", "--quiet")
    run(project, "git", "init", "--quiet")
    seen = run(project, "git", "ls-files", "--others", "--exclude-standard").splitlines()
    assert "uv.lock" in seen
    assert ".gitignore" in seen
    assert not [name for name in seen if name.startswith((".venv/", ".dev/"))]


@pytest.mark.posix
def test_make_help_names_every_target(whole: Path):
    named = {line.split()[1] for line in run(whole, "make").splitlines() if line.startswith("make ")}
    assert named == {"help", "dev", "test", "check", "routes"}
