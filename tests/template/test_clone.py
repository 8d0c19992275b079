"""The branch `example`: a team clones it, changes its clone, and pulls later versions of the template."""

from pathlib import Path

import pytest
import yaml

from tests.template.repositories import Repository, console_blocks, redirect, template_repository
from tools.bake import PROJECT

CLONE, PULL = console_blocks("docs/how-to/use-as-a-team-starting-point.md", "Clone")
PING = "async def get() -> str:\n    return 'pong'\n"


pytestmark = pytest.mark.slow


@pytest.fixture
def origin(tmp_path: Path) -> Repository:
    return template_repository(tmp_path / "saas-starter")


def render(origin: Repository) -> str:
    """Run the script, and return the new tip of the branch."""
    origin.python("-m", "tools.example")
    return origin.git("rev-parse", "example")


def clone(origin: Repository) -> Repository:
    """Follow the page in a folder of the team, with a git host of the team."""
    here = Repository(origin.folder.parent)
    here.git("init", "--quiet", "--bare", "hosted")
    here.environment |= {"TEMPLATE": str(origin.folder)}
    here.environment |= redirect("git@example.com:you/acme.git", here.path("hosted"))
    here.bash(CLONE)
    team = Repository(here.path("acme"))
    assert team.git("rev-parse", "HEAD") == Repository(here.path("hosted")).git("rev-parse", "main")
    return team


def test_the_branch_gets_one_commit_for_each_change_of_the_project(origin: Repository, whole: Path):
    first = render(origin)
    listed = origin.git("ls-tree", "-r", "-z", "--name-only", first).rstrip("\0").split("\0")
    assert set(listed) == {path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file()}
    for name in ("pyproject.toml", "app/api/products/[id].py"):
        assert origin.git("show", f"{first}:{name}") == (whole / name).read_text(encoding="utf-8").strip()
    assert origin.git("rev-list", "--parents", first) == first  # an orphan
    assert origin.git("status", "--short") == ""
    assert origin.git("log", "-1", "--format=%s", first).startswith("Render ")

    origin.edit("CONTRIBUTING.md", "# Contributing", "# How to contribute")
    origin.commit("Change a file outside of the project")
    assert render(origin) == first

    origin.edit(f"{PROJECT.name}/AGENTS.md", "# For agents", "# For machines")
    sha = origin.commit("Change a file of the project")
    origin.add("in the work tree only", "and not in the commit")
    second = render(origin)
    assert origin.git("rev-list", "--parents", "-1", second) == f"{second} {first}"
    assert origin.git("log", "-1", "--format=%s", second) == f"Render {sha[:7]}: Change a file of the project"


def test_pulling_adds_new_files_and_removes_deleted_ones(origin: Repository):
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

    assert console_blocks("docs/how-to/upgrade.md", "A project that was cloned") == [PULL]
    team.bash(PULL)
    assert team.path("app/api/ping.py").read_text() == PING
    assert "## How we run it" in team.path("README.md").read_text()
    assert team.path("AGENTS.md").read_text().startswith("# For machines")
    assert team.path("app/api/new/[id].py").is_file()
    assert not team.path("app/api/hello.py").exists()
    assert team.git("status", "--short") == ""


@pytest.mark.posix
@pytest.mark.parametrize("token", ["", "secret"])
def test_the_workflow_pushes_with_a_token_of_its_own(origin: Repository, tmp_path: Path, token: str):
    """GitHub does not let the token of Actions push workflows, and the branch contains some."""
    render(origin)
    hosted = Repository(tmp_path / "hosted")
    origin.git("init", "--quiet", "--bare", str(hosted.folder))
    workflow = yaml.safe_load(origin.path(".github/workflows/example.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    push = job["steps"][-1]
    assert push["env"] == {"TOKEN": "${{ secrets.EXAMPLE_TOKEN }}"}
    origin.environment |= {"TOKEN": token, "GITHUB_REPOSITORY": "org/saas-starter"}
    origin.environment |= redirect("https://x-access-token:secret@github.com/org/saas-starter", hosted.folder)
    output = origin.run("bash", "-eo", "pipefail", "-c", push["run"])
    assert ("CONTRIBUTING.md" in output) == (not token), output
    assert hosted.git("for-each-ref", "--format=%(refname:short)") == ("example" if token else "")


def test_a_change_on_both_sides_is_a_conflict_that_shows_both(origin: Repository):
    render(origin)
    team = clone(origin)
    team.edit("AGENTS.md", "# For agents", "# For our agents")
    ours = team.commit("Our heading")
    origin.edit(f"{PROJECT.name}/AGENTS.md", "# For agents", "# For machines")
    origin.commit("Their heading")
    render(origin)

    team.bash(PULL, fails=True)
    assert team.git("diff", "--name-only", "--diff-filter=U") == "AGENTS.md"
    shown = team.path("AGENTS.md").read_text()
    assert "# For our agents" in shown
    assert "# For machines" in shown
    team.git("merge", "--abort")
    assert team.git("rev-parse", "HEAD") == ours
