"""docs/how-to/remove-a-feature.md, executed on a copy of the project.

Each row of the page's table has a command and at most one line to edit. On every change, each feature is removed alone,
and imports, routes and contract are checked; then all are removed together, with the migration, the whole check and all
remaining tests. With WEEKLY=1, each feature that is removed alone gets all of that.
"""

import ast
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.template.repositories import Repository
from tests.template.servers import servers
from tests.template.test_generated import run
from tools.bake import PROJECT, ROOT

pytestmark = [pytest.mark.posix, pytest.mark.slow]

TEXT = (ROOT / "docs/how-to/remove-a-feature.md").read_text(encoding="utf-8")
ROW = re.compile(
    r"^\| (?P<name>[\w ]+?)(?: \(after (?P<after>[\w, ]+)\))?"
    r" \| `(?P<command>rm [^`]+)`"
    r" \|(?: `(?P<file>[^`]+)`: delete `(?P<text>[^`]+)`)? \|$",
    re.MULTILINE,
)
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TABLES = 7
"""The number of tables of all features."""


class Feature(NamedTuple):
    """A row of the table."""

    after: list[str]
    command: str
    file: str
    text: str


FEATURES = {
    row["name"]: Feature(re.findall(r"\w+", row["after"] or ""), row["command"], row["file"] or "", row["text"])
    for row in ROW.finditer(TEXT)
}
CONTRACT, MIGRATION, CHECK = ([line.removeprefix("$ ") for line in block.splitlines()] for block in BLOCK.findall(TEXT))


def shell(project: Path, command: str, **environment: str) -> None:
    inherited = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTEST_ADDOPTS")}
    done = subprocess.run(
        ["bash", "-c", command], cwd=project, env=inherited | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"


def remove(project: Path, *names: str) -> None:
    """Run the commands, and edit the lines whose files were not removed with another feature."""
    with_dependents = [each for name in names for each in [*FEATURES[name].after, name]]
    for feature in [FEATURES[name] for name in dict.fromkeys(with_dependents)]:
        shell(project, feature.command)
        path = project / feature.file
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            assert sum(line.count(feature.text) for line in lines) == 1, feature
            lines = [line.replace(feature.text, "") for line in lines if line.strip() != feature.text]
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def dangling_imports(project: Path) -> list[str]:
    """Imports of deleted modules. pyright finds them too, in ten times the time."""
    return [
        f"{file.relative_to(project)}: {node.module}.{alias.name}"
        for folder in ("app", "tests", "migrations")
        for file in project.joinpath(folder).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("app", "tests")
        for alias in node.names
        if not importable(project.joinpath(*node.module.split(".")), alias.name)
    ]


def importable(module: Path, name: str) -> bool:
    if module.with_suffix(".py").is_file() or (module / f"{name}.py").is_file() or (module / name).is_dir():
        return True
    package = module / "__init__.py"
    return package.is_file() and name in package.read_text(encoding="utf-8")


def migrate(project: Path, folder: Path) -> str:
    """Return the migration that Alembic wrote. Nothing is left for another one."""
    before = set((project / "migrations/versions").glob("*.py"))
    with servers(folder / "engines") as (database, cache):
        urls = {"DATABASE_URL": database, "REDIS_URL": f"{cache}/0", "ENVIRONMENT": "development"}
        for command in [*MIGRATION, "uv run alembic check"]:
            shell(project, command, **urls)
    (migration,) = set((project / "migrations/versions").glob("*.py")) - before
    return migration.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def installed(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A copy of the project with an environment, and everything committed."""
    project = Repository(shutil.copytree(template / PROJECT.name, tmp_path_factory.mktemp("removal") / "acme"))
    run(project.folder, "uv", "sync", "--quiet")
    project.git("init", "--quiet")
    project.commit("Begin")
    return project


@pytest.fixture
def project(installed: Repository) -> Path:
    """The project before anything is removed."""
    installed.git("reset", "--quiet", "--hard")
    installed.git("clean", "--quiet", "-d", "--force")
    return installed.folder


def test_the_table_names_every_feature():
    folders = {path.parent.name for path in PROJECT.glob("app/*/__init__.py")} - {"api", "accounts"}
    assert folders <= FEATURES.keys()
    assert CHECK == ["make check", "uv run pytest"]


def test_a_project_without_the_example_has_the_same_files(template: Path, minimal: Path, tmp_path: Path):
    """The answer `example: no` removes what the page's commands remove, except for the routes of the platform."""
    project = shutil.copytree(template / PROJECT.name, tmp_path / "acme")
    remove(project, *(name for name in FEATURES if name != "hello" and not name.endswith("routes")))
    left, generated = (
        {path.relative_to(root) for folder in ("app", "tests") for path in (root / folder).rglob("*.*")}
        for root in (project, minimal)
    )
    assert left == generated


@pytest.mark.parametrize("name", FEATURES)
def test_a_feature_is_removed_alone(project: Path, name: str):
    remove(project, name)
    assert not dangling_imports(project)
    for command in CONTRACT:  # creates the application, so it checks the routes too
        shell(project, command, UV_NO_SYNC="1")


@pytest.mark.skipif(not os.environ.get("WEEKLY"), reason="takes a minute for each feature; runs with WEEKLY=1")
@pytest.mark.parametrize("name", FEATURES)
def test_everything_passes_without_a_feature(project: Path, tmp_path: Path, name: str):
    remove(project, name)
    for command in CONTRACT:
        shell(project, command)
    migrate(project, tmp_path)
    for command in CHECK:
        shell(project, command)


def test_everything_passes_without_all_features(project: Path, tmp_path: Path):
    remove(project, *FEATURES)
    for command in CONTRACT:
        shell(project, command)
    assert migrate(project, tmp_path).count("op.drop_table(") == TABLES
    for command in CHECK:
        shell(project, command)
