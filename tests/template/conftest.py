"""Fixtures that generate projects from this checkout into temporary folders."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.template.browser import CHROMIUM
from tools.bake import bake, copy_template

Bake = Callable[..., CompletedProcess[str]]
for name in [name for name in os.environ if name.startswith("PYTEST_XDIST_")]:
    del os.environ[name]  # the tests of generated projects run on their own
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each process that a test starts compiles all modules
SUITE = "tests of a generated project"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="update the golden files (make golden)")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture
def record_suite(record_property: Callable[[str, object], None]) -> Callable[[str, str], None]:
    """Show the summary of a generated project's tests at the end of this run."""

    def record(variant: str, output: str) -> None:
        record_property(SUITE, f"{variant}: {output.strip().splitlines()[-1].strip('= ')}")

    return record


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.getreports("passed")
    if suites := [value for report in reports for name, value in report.user_properties if name == SUITE]:
        terminalreporter.section("tests of the generated projects")
        for suite in suites:
            terminalreporter.line(str(suite))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_template(tmp_path_factory.mktemp("template") / "saas-starter")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


@pytest.fixture
def generate(template: Path, output: Path) -> Bake:
    """Run cookiecutter into `output`."""

    def run(*options: str, stdin: str | None = None, **answers: str) -> CompletedProcess[str]:
        return bake(template, output, *options, stdin=stdin, **answers)

    return run


def _project(name: str, example: str):
    """Return a fixture: one project with default answers, for all tests that only read it."""

    @pytest.fixture(scope="session", name=name)
    def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        output = tmp_path_factory.mktemp(name)
        done = bake(template, output, example=example)
        assert done.returncode == 0, done.stderr
        return output / "acme"

    return project


whole = _project("whole", "yes")
minimal = _project("minimal", "no")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-quic"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab in a new browser profile."""
    context = browser.new_context()
    yield context.new_page()
    context.close()
