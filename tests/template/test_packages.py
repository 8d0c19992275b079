"""The packages of a generated project: built as wheels, taken over, checked and updated."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.template.repositories import Repository, console_blocks, template_repository
from tools.bake import PROJECT

PACKAGES = ("devstack", "filerouter", "saaskit")
CACHE_TESTS = ("tests/api/test_cache.py", "tests/api/test_health.py", "tests/test_architecture.py")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return template_repository(tmp_path_factory.mktemp("origin") / "saas-starter")


def linked(origin: Repository, folder: Path) -> Repository:
    """A project that was generated with cruft."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", "from cruft._cli import app; app()", "create", str(origin.folder), "--no-input"]
    Repository(folder).run(*command, "--extra-context", json.dumps({"project_name": "Night Owl"}))
    team = Repository(folder / "night-owl")
    team.environment.pop("VIRTUAL_ENV", None)
    team.git("init", "--quiet", "--initial-branch", "main")
    team.commit("Begin")
    return team


@pytest.fixture
def team(origin: Repository, tmp_path: Path) -> Repository:
    return linked(origin, tmp_path / "output")


def saaskit(team: Repository, *arguments: str, fails: bool = False) -> str:
    """Run the command with the template's interpreter: only the project's files matter."""
    source = str(team.path("packages/saaskit/src"))
    code = f"import sys; sys.path.insert(0, {source!r}); from saaskit.cli import main; main()"
    return team.run(sys.executable, "-c", code, *arguments, fails=fails)


def release(origin: Repository, version: str, change: str) -> None:
    """Publish a new version of saaskit."""
    folder = f"{PROJECT.name}/packages/saaskit"
    current = re.search(r'version = "(.*)"', origin.path(f"{folder}/pyproject.toml").read_text())
    assert current
    origin.edit(f"{folder}/pyproject.toml", current[0], f'version = "{version}"')
    origin.edit(f"{folder}/CHANGELOG.md", f"## {current[1]}\n", f"## {version}\n\n- {change}\n\n## {current[1]}\n")
    origin.edit(f"{folder}/src/saaskit/mail.py", '"""', f'"""{version}. ')
    origin.commit(f"saaskit {version}")


def test_a_generated_project_has_no_edited_package_files(team: Repository):
    assert saaskit(team, "check-packages").startswith("No file in packages/ was edited: devstack 1.")


def test_edited_package_files_are_named(team: Repository):
    team.edit("packages/saaskit/src/saaskit/mail.py", '"""', '"""Ours. ')
    team.path("packages/filerouter/README.md").unlink()
    team.add("packages/devstack/src/devstack/ours.py", "")
    team.add("packages/devstack/src/devstack/__pycache__/mail.pyc", "")
    assert saaskit(team, "check-packages", fails=True).splitlines() == [
        "added    packages/devstack/src/devstack/ours.py",
        "deleted  packages/filerouter/README.md",
        "edited   packages/saaskit/src/saaskit/mail.py",
    ]


@pytest.mark.slow
def test_an_update_shows_versions_and_the_changelog_between_them(tmp_path: Path):
    origin = template_repository(tmp_path / "saas-starter")
    team = linked(origin, tmp_path / "output")
    old = saaskit(team, "check-packages")
    release(origin, "7.1.0", "Added: a thing.")
    release(origin, "7.2.0", "Fixed: another thing.")
    output = saaskit(team, "update")
    assert f"saaskit {re.findall(r'saaskit (.*)[.]', old)[0]} -> 7.2.0" in output
    assert output.index("- Fixed: another thing.") < output.index("- Added: a thing.")
    assert "First release" not in output
    assert re.search(r"^filerouter \S+ \(unchanged\)$", output, re.MULTILINE)
    assert saaskit(team, "check-packages").endswith("saaskit 7.2.0.")


@pytest.mark.slow
def test_an_update_overwrites_edited_package_files_only_on_request(tmp_path: Path):
    origin = template_repository(tmp_path / "saas-starter")
    team = linked(origin, tmp_path / "output")
    team.edit("packages/saaskit/src/saaskit/mail.py", '"""', '"""Ours. ')
    team.add("packages/devstack/src/devstack/ours.py", "")
    ours = team.commit("Edit a package")
    release(origin, "7.1.0", "Added: a thing.")
    output = saaskit(team, "update", fails=True)
    assert "edited   packages/saaskit/src/saaskit/mail.py" in output
    assert "Nothing was updated" in output
    assert team.git("rev-parse", "HEAD") == ours
    assert not team.git("status", "--porcelain")

    assert "-> 7.1.0" in saaskit(team, "update", "--overwrite")
    assert team.path("packages/saaskit/src/saaskit/mail.py").read_text().startswith('"""7.1.0. ')
    assert not team.path("packages/devstack/src/devstack/ours.py").exists()
    assert not team.git("diff", "--name-only", "--diff-filter=U")
    assert "Ours. " in team.git("show", f"{ours}:packages/saaskit/src/saaskit/mail.py")


@pytest.mark.slow
def test_a_cloned_project_is_updated_by_a_merge(tmp_path: Path, origin: Repository):
    upstream = linked(origin, tmp_path / "rendered")
    upstream.path(".cruft.json").unlink()
    upstream.git("switch", "--quiet", "--create", "example")
    upstream.commit("Render")
    origin_option = ("--origin", "upstream", "--branch", "example", "--single-branch")
    upstream.git("clone", "--quiet", *origin_option, str(upstream.folder), str(tmp_path / "clone"))
    clone = Repository(tmp_path / "clone")
    clone.git("switch", "--quiet", "--create", "main")
    version = upstream.path("packages/filerouter/pyproject.toml").read_text()
    current = re.findall(r'version = "(.*)"', version)[0]
    upstream.edit("packages/filerouter/pyproject.toml", f'version = "{current}"', 'version = "7.0.0"')
    upstream.commit("Render a new version")
    assert f"filerouter {current} -> 7.0.0" in saaskit(clone, "update")


def test_a_project_without_a_link_to_its_template_is_not_updated(team: Repository):
    team.path(".cruft.json").unlink()
    assert "its template is not known" in saaskit(team, "update", fails=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["web.html"], "saaskit has no part 'web.html'"),
        (["jobs", "mail", "features"], "app/jobs.py exists. Choose another name: saaskit take-over jobs=NAME"),
        (["upstream"], "Take them over too: saaskit take-over upstream oauth testing"),
    ],
)
def test_a_part_that_cannot_be_taken_over_changes_nothing(team: Repository, arguments: list[str], message: str):
    assert message in saaskit(team, "take-over", *arguments, fails=True)
    assert not team.git("status", "--porcelain", "--untracked-files=no")


@pytest.mark.slow
@pytest.mark.posix
def test_the_cache_can_be_taken_over(team: Repository):
    """By the command of docs/how-to/upgrade.md."""
    (command,) = console_blocks("docs/how-to/upgrade.md", "Take a part of saaskit over")
    output = team.bash(command)
    assert "app/cache/store.py" in output
    assert "uv add 'redis[hiredis]" in output
    code = [path.read_text() for folder in ("app", "tests") for path in team.path(folder).rglob("*.py")]
    old = re.compile(r"saaskit\.cache\b|^\s*from saaskit import .*\bcache\b", re.MULTILINE)
    assert not [text for text in code if old.search(text)]
    assert team.path("packages/saaskit/src/saaskit/cache/store.py").is_file()
    team.run("make", "check")
    assert "passed" in team.run("uv", "run", "pytest", "-q", *CACHE_TESTS)


@pytest.fixture(scope="module")
def wheels(origin: Repository, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    command = ["uv", "build", "--quiet", "--all-packages", "--wheel", "--out-dir", str(folder)]
    subprocess.run(command, cwd=origin.path(PROJECT.name), check=True)
    return folder


@pytest.mark.parametrize("package", PACKAGES)
def test_a_wheel_has_code_types_and_license(wheels: Path, package: str):
    (wheel,) = wheels.glob(f"{package}-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    source = PROJECT / "packages" / package / "src"
    files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    assert {name for name in files if "__pycache__" not in name} <= names
    assert f"{package}/py.typed" in names
    assert [name for name in names if name.endswith("/licenses/LICENSE")]


@pytest.mark.slow
@pytest.mark.posix
def test_a_project_runs_on_wheels(team: Repository):
    """With the packages from wheels in place of packages/, by the commands of docs/how-to/upgrade.md."""
    (commands,) = console_blocks("docs/how-to/upgrade.md", "Use the packages as wheels")
    team.bash(commands)
    assert not team.path("packages").exists()
    where = "import devstack, filerouter, saaskit.cli as s; print(devstack.__file__, filerouter.__file__, s.__file__)"
    assert team.run("uv", "run", "python", "-c", where).count("site-packages") == len(PACKAGES)
    assert "installed as wheels" in team.run("uv", "run", "saaskit", "check-packages")
    team.run("uv", "run", "pyright", "app")
    assert "passed" in team.run("uv", "run", "pytest", "-q", "tests/test_platform.py", "tests/api", "tests/jobs")
