"""The branch `example`: a team clones it, works, and pulls what the template has become."""

from pathlib import Path

import pytest

from tests.repositories import Repository, template_repository
from tools.bake import PROJECT

PING = "async def get() -> str:\n    return 'pong'\n"


pytestmark = pytest.mark.slow


@pytest.fixture
def origin(tmp_path: Path) -> Repository:
    return template_repository(tmp_path / "saas-starter")


def render(origin: Repository) -> str:
    """Run the script, and give the new tip."""
    origin.python("-m", "tools.example")
    return origin.git("rev-parse", "example")


def clone(origin: Repository) -> Repository:
    where = origin.folder.parent / "team"
    origin.git("clone", "--quiet", "--branch", "example", "--single-branch", str(origin.folder), str(where))
    return Repository(where)


def test_one_commit_for_each_change_on_top_of_the_last(origin: Repository, whole: Path):
    first = render(origin)
    listed = origin.git("ls-tree", "-r", "-z", "--name-only", first).rstrip("\0").split("\0")
    assert set(listed) == {path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file()}
    for name in ("pyproject.toml", "app/api/products/[id].py"):
        assert origin.git("show", f"{first}:{name}") == (whole / name).read_text(encoding="utf-8").strip()
    assert origin.git("rev-list", "--parents", first) == first  # an orphan
    assert origin.git("status", "--short") == ""
    assert origin.git("log", "-1", "--format=%s", first).startswith("Render ")

    origin.edit("CONTRIBUTING.md", "# Contributing", "# How to contribute")
    origin.commit("Change what no project sees")
    assert render(origin) == first

    origin.edit(f"{PROJECT.name}/AGENTS.md", "# For agents", "# For machines")
    sha = origin.commit("Change what every project sees")
    origin.add("in the work tree only", "and not in the commit")
    second = render(origin)
    assert origin.git("rev-list", "--parents", "-1", second) == f"{second} {first}"
    assert origin.git("log", "-1", "--format=%s", second) == f"Render {sha[:7]}: Change what every project sees"


def test_a_team_pulls_what_is_new_and_loses_what_is_gone(origin: Repository):
    render(origin)
    team = clone(origin)
    team.add("app/api/ping.py", PING)
    team.edit("README.md", "## Run it", "## How we run it")
    team.commit("Our own work")

    origin.edit(f"{PROJECT.name}/AGENTS.md", "# For agents", "# For machines")
    origin.path(f"{PROJECT.name}/app/api/hello.py").unlink()
    origin.add(f"{PROJECT.name}/app/api/new/[id].py", PING)
    origin.commit("A new version")
    render(origin)

    team.git("pull", "--quiet", "--no-rebase", "--no-edit")
    assert team.path("app/api/ping.py").read_text() == PING
    assert "## How we run it" in team.path("README.md").read_text()
    assert team.path("AGENTS.md").read_text().startswith("# For machines")
    assert team.path("app/api/new/[id].py").is_file()
    assert not team.path("app/api/hello.py").exists()
    assert team.git("status", "--short") == ""


def test_what_both_changed_is_a_conflict_with_both_sides(origin: Repository):
    render(origin)
    team = clone(origin)
    team.edit("AGENTS.md", "# For agents", "# For our agents")
    ours = team.commit("Our heading")
    origin.edit(f"{PROJECT.name}/AGENTS.md", "# For agents", "# For machines")
    origin.commit("Their heading")
    render(origin)

    team.git("pull", "--quiet", "--no-rebase", "--no-edit", fails=True)
    assert team.git("diff", "--name-only", "--diff-filter=U") == "AGENTS.md"
    shown = team.path("AGENTS.md").read_text()
    assert "# For our agents" in shown
    assert "# For machines" in shown
    team.git("merge", "--abort")
    assert team.git("rev-parse", "HEAD") == ours
