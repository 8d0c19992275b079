"""docs/how-to/remove-a-feature.md, executed: each section alone, then all of them in turn.

`console` blocks are run by bash; "First:" names the sections that go before. On every change, each section alone has to
leave the checks that need no engine green, and all removals together the project's own check and its tests. All that
stands behind a removal takes minutes for each: WEEKLY=1 does it, as CI does on Mondays.
"""

import ast
import os
import re
import shlex
import shutil
import subprocess
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.template.repositories import Repository
from tests.template.servers import servers
from tests.template.test_generated import run
from tools.bake import ROOT

pytestmark = [pytest.mark.posix, pytest.mark.slow]

REMAINING = ("errors", "openapi", "routes", "settings")
"""Tests of a project that look at it as a whole."""
PAGE = ROOT / "docs/how-to/remove-a-feature.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BEHIND = "behind-every-removal"


class Section(NamedTuple):
    """What one heading says: which other sections go first, and the commands of each block."""

    first: list[str]
    steps: list[list[str]]


@cache
def sections() -> dict[str, Section]:
    found = {}
    for part in re.split(r"^## ", "Functions\n" + PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE):
        name, _, text = part.partition("\n")
        first = re.findall(
            r"\(#([^)]+)\)", " ".join(re.findall(r"^First: .*?(?=\n\n)", text, flags=re.MULTILINE | re.DOTALL))
        )
        steps = [[line.removeprefix("$ ") for line in block.splitlines()] for block in BLOCK.findall(text)]
        found[name.lower().replace(" ", "-")] = Section(first, steps)
    return found


def parts() -> list[str]:
    """The optional parts, which the page's beginning lists; what is no part is a feature of the example."""
    beginning = PAGE.read_text(encoding="utf-8").partition("\n## ")[0]
    return re.findall(r"\(#([^)]+)\)", beginning)


PARTS = parts()
FEATURES = [name for name in sections() if name not in ("functions", BEHIND)]


def in_order(names: list[str]) -> list[str]:
    """The sections, each behind those that go first."""
    ordered: list[str] = []

    def visit(name: str) -> None:
        for other in sections()[name].first:
            visit(other)
        if name not in ordered:
            ordered.append(name)

    for name in names:
        visit(name)
    return ordered


def shell(project: Path, commands: list[str], **environment: str) -> None:
    functions = [command for step in sections()["functions"].steps for command in step]
    variables = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTEST_ADDOPTS")}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(functions + commands)],
        cwd=project,
        env=variables | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{commands}:\n{done.stdout}{done.stderr}"


def remove(project: Path, name: str) -> None:
    before = {path for path in project.rglob("*") if ".venv" not in path.parts}
    for step in sections()[name].steps:
        shell(project, step)
    assert before - set(project.rglob("*")), f"{name}: nothing was removed"


def behind(project: Path, **environment: str) -> None:
    """What follows every removal, but for the last block: that is what these tests look at."""
    *before, last = sections()[BEHIND].steps
    assert last == ["make check", "uv run pytest"]
    for step in before:
        shell(project, step, **environment)


@pytest.fixture(scope="module")
def installed(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A project with an environment, and everything committed."""
    project = Repository(shutil.copytree(whole, tmp_path_factory.mktemp("removal") / "acme"))
    run(project.folder, "uv", "sync", "--quiet")
    project.git("init", "--quiet")
    project.commit("Begin")
    return project


@pytest.fixture
def project(installed: Repository) -> Path:
    """The project as it was generated."""
    installed.git("reset", "--quiet", "--hard")
    installed.git("clean", "--quiet", "-d", "--force")
    return installed.folder


def there(project: Path, module: str, name: str) -> bool:
    """Whether a file of the project has what is imported from it."""
    path = project.joinpath(*module.split("."))
    if not path.is_dir():
        return path.with_suffix(".py").is_file()
    package = path / "__init__.py"
    return any(path.glob(f"{name}*")) or (package.is_file() and name in package.read_text(encoding="utf-8"))


def dangling(project: Path) -> list[str]:
    """Imports of what is gone. Starts nothing: to import the application a dozen times would take minutes."""
    return [
        f"{file.relative_to(project)}: {node.module}.{alias.name}"
        for layer in ("app", "tests")
        for file in project.joinpath(layer).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("app", "tests")
        for alias in node.names
        if not there(project, node.module or "", alias.name)
    ]


def stale(project: Path, command: str) -> list[str]:
    """Files, names and patterns of a command that the project has not: sed and the others would pass them over."""
    program, *arguments = shlex.split(command) or [""]
    if program == "drop":
        text = project.joinpath(arguments[0]).read_text(encoding="utf-8")
        return [
            name for name in arguments[1:] if not re.search(rf"^ *(async def|def|class)? *{name}\b", text, re.MULTILINE)
        ]
    if program == "without":
        texts = {file: project.joinpath(file).read_text(encoding="utf-8") for file in arguments[1:]}
        return [file for file, text in texts.items() if not re.search(arguments[0], text)]
    if program == "rm":
        globs = [f"{head}{one}{tail}" for path in arguments for head, one, tail in braces(path)]
        return [path for path in globs if path[0] != "-" and path[-4:] != ".bak" and not [*project.glob(path)]]
    return []


def braces(path: str) -> list[tuple[str, str, str]]:
    """What bash makes of `a{b,c}d`."""
    head, _, rest = path.partition("{")
    inside, _, tail = rest.partition("}")
    return [(head, one, tail) for one in inside.split(",")]


@pytest.mark.parametrize("name", FEATURES)
def test_what_a_section_names_is_there(whole: Path, name: str):
    commands = [command for step in sections()[name].steps for command in step if "<<" not in command]
    assert not [(command, found) for command in commands if (found := stale(whole, command))]


@pytest.mark.parametrize("name", [name for name in FEATURES if name != "accounts"])
def test_a_section_goes_alone(project: Path, name: str):
    """Types are looked at where something changed, and tables stay. Accounts go with jobs."""
    for each in in_order([name]):
        remove(project, each)
    mend, describe, *_ = sections()[BEHIND].steps[0]
    shell(project, [mend, describe], UV_NO_SYNC="1")
    assert not dangling(project)
    changed = Repository(project).git("diff", "--name-only", "--diff-filter=M", "--", "*.py").splitlines()
    checks = [
        *([("pyright", *changed)] if changed else []),
        ("lint-imports",),
        ("routes", "--check"),
        ("pytest", "-q", *(f"tests/test_{part}.py" for part in REMAINING)),
    ]
    with ThreadPoolExecutor() as pool:
        deque(pool.map(lambda check: run(project, "uv", "run", "--quiet", "--no-sync", *check), checks))


@pytest.mark.skipif(not os.environ.get("WEEKLY"), reason="minutes for each section; WEEKLY=1 runs it")
@pytest.mark.parametrize("name", FEATURES)
def test_all_that_stands_behind_a_removal(project: Path, tmp_path: Path, name: str):
    """Of a part, too, all tests are run but those of the file router, which imports nothing of the application."""
    for each in in_order([name]):
        remove(project, each)
    migrate(project, tmp_path)
    run(project, "make", "check")
    tests = ["--all", "--ignore=tests/filerouter"] if name in PARTS else ["tests/api", *quick(project)]
    run(project, "uv", "run", "pytest", "-q", *tests)


def test_all_features_go_in_turn(project: Path, tmp_path: Path):
    for name in in_order(FEATURES):
        remove(project, name)
    migrate(project, tmp_path)
    migration = max((project / "migrations/versions").glob("*.py")).read_text(encoding="utf-8")
    assert migration.count("op.drop_table(") >= 14
    run(project, "make", "check")
    run(project, "uv", "run", "pytest", "-q", "tests/api", *quick(project))
    run(project, "uv", "run", "pytest", "-q", "--collect-only", "--ignore=tests/filerouter")


def migrate(project: Path, folder: Path) -> None:
    """What follows every removal, up to its migration, which has to leave nothing for another."""
    with servers(folder / "engines") as (database, cache):
        urls = {"DATABASE_URL": database, "REDIS_URL": f"{cache}/0", "ENVIRONMENT": "development"}
        behind(project, **urls)
        shell(project, ["uv run alembic check"], **urls)


def quick(project: Path) -> list[str]:
    """The tests that look at a project as a whole."""
    return sorted(map(str, project.glob("tests/test_*.py")))
