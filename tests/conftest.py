"""Generate projects into temporary folders, from what this checkout holds."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tools.bake import bake, copy_template

Bake = Callable[..., CompletedProcess[str]]
SUITES = pytest.StashKey[dict[str, str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew (make golden)")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture
def record_suite(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Keep the summary of a generated project's own tests for the end of this run."""
    return request.config.stash.setdefault(SUITES, {}).__setitem__


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if suites := config.stash.get(SUITES, {}):
        terminalreporter.section("tests of the generated projects")
        for variant, output in suites.items():
            terminalreporter.line(f"{variant}: {output.strip().splitlines()[-1].strip('= ')}")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_template(tmp_path_factory.mktemp("template") / "saas-starter")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


@pytest.fixture
def generate(template: Path, output: Path) -> Bake:
    """Run cookiecutter into `output`, as a person would."""

    def run(*options: str, stdin: str | None = None, **answers: str) -> CompletedProcess[str]:
        return bake(template, output, *options, stdin=stdin, **answers)

    return run


def _project(name: str, example: str):
    """One default project for all tests that only read it."""

    @pytest.fixture(scope="session", name=name)
    def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        output = tmp_path_factory.mktemp(name)
        done = bake(template, output, example=example)
        assert done.returncode == 0, done.stderr
        return output / "acme"

    return project


whole = _project("whole", "yes")
minimal = _project("minimal", "no")
