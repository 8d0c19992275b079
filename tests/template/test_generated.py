"""Generated projects: their tests, their `make check`, their commands."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tools.bake import PROJECT

TESTS = {
    # Its code is that of the template's checkout, whose tests `make test` runs in place; only the names differ.
    "whole": ["tests/api", "tests/test_architecture.py", "tests/test_dev.py", "tests/test_openapi.py"],
    "minimal": [],
}
"""The tests to run in each variant; an empty list stands for all."""


def run(project: Path, *command: str) -> str:
    """Run a command in a project that was just generated."""
    environment = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTEST_ADDOPTS")}
    done = subprocess.run(
        command, cwd=project, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, f"{' '.join(command)} in {project}:\n{output}"
    return output


@pytest.fixture(scope="module", params=["whole", "minimal"])
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to work in. The generated projects stay unchanged, for the tests that only read them."""
    generated: Path = request.getfixturevalue(request.param)
    return shutil.copytree(generated, tmp_path_factory.mktemp(request.param) / "acme")


@pytest.fixture
def variant(request: pytest.FixtureRequest) -> str:
    return request.node.callspec.params["project"]


def test_golden_contract(project: Path, variant: str, update_golden: bool):
    """The hook cannot import the application, so the template keeps the minimal project's openapi.json."""
    check = [] if update_golden else ["--check"]
    run(project, "uv", "run", "--quiet", "python", "-m", "app.openapi", *check)
    if update_golden:
        kept = {"whole": "openapi.json", "minimal": "openapi.minimal.json"}[variant]
        (PROJECT / kept).write_bytes((project / "openapi.json").read_bytes())


@pytest.mark.posix
def test_its_tests_pass(project: Path, variant: str, record_suite):
    record_suite(variant, run(project, "uv", "run", "--quiet", "pytest", "--color=no", *TESTS[variant]))


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


def test_its_pre_commit_hooks_pass(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """pre-commit passes file names to the commands, including those in brackets."""
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path))
    run(project, "git", "init", "--quiet")
    run(project, "git", "add", "--all")
    output = run(project, "pre-commit", "run", "--all-files", "--color=never")
    assert output.count("Passed") == 4, output


@pytest.mark.posix
def test_make_help_names_every_target(project: Path):
    named = {line.split()[1] for line in run(project, "make").splitlines() if line.startswith("make ")}
    assert named == {"help", "dev", "test", "check", "routes"}
