"""`cruft update` in a project that a team has changed."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.template.repositories import Repository, console_blocks, template_repository
from tests.template.servers import servers
from tools.bake import PROJECT

pytestmark = pytest.mark.slow

OURS = "hunter2-is-ours"
PING = "async def get() -> str:\n    return 'pong'\n"


def cruft(where: Repository, *arguments: str) -> str:
    return where.run(sys.executable, "-c", "from cruft._cli import app; app()", *arguments)


@pytest.fixture
def origin(tmp_path: Path) -> Repository:
    return template_repository(tmp_path / "saas-starter")


def linked(origin: Repository, example: str) -> Repository:
    """Return a project that a team generated with cruft, with a secret in its `.env`."""
    output = origin.folder.parent / f"example-{example}"
    output.mkdir()
    answers = json.dumps({"project_name": "Night Owl", "example": example})
    cruft(Repository(output), "create", str(origin.folder), "--no-input", "--extra-context", answers)
    team = Repository(output / "night-owl")
    team.git("init", "--quiet", "--initial-branch", "main")
    team.commit("Begin")
    team.add(".env", f"SMTP_URL=smtp://us:{OURS}@mail.example.com\n")
    return team


def update(team: Repository) -> str:
    return cruft(team, "update", "--skip-apply-ask")


def rejected(team: Repository) -> list[str]:
    return sorted(path.relative_to(team.folder).as_posix() for path in team.folder.rglob("*.rej"))


def test_an_update_keeps_the_changes_of_the_team(origin: Repository):
    team = linked(origin, "yes")
    team.add("app/api/ping.py", PING)
    team.edit("AGENTS.md", "## Commands", "## Our commands")
    team.edit("pyproject.toml", 'version = "0.1.0"', 'version = "4.2.0"')
    for feature in ("app/api/posts.py", "app/posts/service.py"):
        team.path(feature).unlink()
    team.commit("Our own work")

    origin.edit(f"{PROJECT.name}/AGENTS.md", "# For agents", "# For machines")
    origin.edit(f"{PROJECT.name}/pyproject.toml", '"alembic>=1.20"', '"alembic>=1.21"')
    origin.edit(f"{PROJECT.name}/app/posts/service.py", '"""', '"""Newer. ')
    origin.add(f"{PROJECT.name}/app/api/new/[id].py", PING)
    origin.path(f"{PROJECT.name}/app/api/hello.py").unlink()
    newest = origin.commit("A new version")

    output = update(team)
    assert not rejected(team), output
    assert team.path("app/api/ping.py").read_text() == PING
    agents = team.path("AGENTS.md").read_text()
    assert "# For machines" in agents
    assert "## Our commands" in agents
    pyproject = team.path("pyproject.toml").read_text()
    for kept in ('name = "night-owl"', 'version = "4.2.0"', '"alembic>=1.21"'):
        assert kept in pyproject
    assert team.path("app/api/new/[id].py").is_file()
    assert not team.path("app/api/hello.py").exists()
    assert not team.path("app/api/posts.py").exists()
    assert not team.path("app/posts/service.py").exists()
    assert json.loads(team.path(".cruft.json").read_text())["commit"] == newest
    assert OURS in team.path(".env").read_text()
    team.commit("Update from the template")
    assert "up to date" in update(team)


def test_a_change_on_both_sides_is_a_conflict_that_shows_both(origin: Repository):
    team = linked(origin, "yes")
    team.edit("AGENTS.md", "# For agents", "# For our agents")
    ours = team.commit("Our heading")
    origin.edit(f"{PROJECT.name}/AGENTS.md", "# For agents", "# For machines")
    origin.edit(f"{PROJECT.name}/Makefile", "# Short names", "# Very short names")
    origin.commit("Their heading")

    update(team)
    assert team.git("diff", "--name-only", "--diff-filter=U") == "AGENTS.md"
    shown = team.path("AGENTS.md").read_text()
    assert "# For our agents" in shown
    assert "# For machines" in shown
    assert "# Very short names" in team.path("Makefile").read_text()
    assert "# For our agents" in team.git("show", f"{ours}:AGENTS.md")


def test_without_the_original_file_in_history_a_conflict_is_a_reject_without_secrets(origin: Repository):
    team = linked(origin, "yes")
    team.edit("AGENTS.md", "# For agents", "# For our agents")
    team.git("add", "--all")
    team.git("commit", "--quiet", "--amend", "--message", "All in one")
    team.git("reflog", "expire", "--expire=now", "--all")
    team.git("gc", "--quiet", "--prune=now")
    origin.edit(f"{PROJECT.name}/AGENTS.md", "# For agents", "# For machines")
    origin.edit(f"{PROJECT.name}/Makefile", "# Short names", "# Very short names")
    origin.commit("Their heading")

    update(team)
    assert rejected(team) == ["AGENTS.md.rej"]
    assert "# For our agents" in team.path("AGENTS.md").read_text()
    assert "# For machines" in team.path("AGENTS.md.rej").read_text()
    assert "# Very short names" in team.path("Makefile").read_text()
    assert OURS not in team.path("AGENTS.md.rej").read_text()


def test_an_update_does_not_bring_the_example_back(origin: Repository):
    team = linked(origin, "no")
    before = {path for path in team.folder.joinpath("app").rglob("*") if path.is_file()}
    origin.edit(f"{PROJECT.name}/app/products/service.py", '"""', '"""Newer. ')
    origin.add(f"{PROJECT.name}/app/api/products/new.py", PING)
    origin.edit(f"{PROJECT.name}/openapi.json", "Get a product", "Get one product")
    origin.edit(f"{PROJECT.name}/openapi.minimal.json", "Liveness check", "Check of life")
    origin.edit(f"{PROJECT.name}/app/api/health.py", "Liveness check", "Check of life")
    origin.commit("A new version")

    output = update(team)
    assert not rejected(team), output
    assert {path for path in team.folder.joinpath("app").rglob("*") if path.is_file()} == before
    contract = team.path("openapi.json").read_text()
    assert "Check of life" in contract
    assert "/api/products" not in contract
    assert not team.path("openapi.minimal.json").exists()


DEVICE = """
from sqlalchemy import BigInteger, Identity
from sqlalchemy.orm import Mapped, mapped_column

from saaskit.db import Base


class Device(Base):
    __tablename__ = "devices"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
"""


@contextmanager
def migrated(project: Repository) -> Iterator[None]:
    """Give the project a database at its head, and the environment of the checkout, which has the same packages."""
    with TemporaryDirectory() as folder, servers(Path(folder)) as (database, cache):
        project.environment.pop("VIRTUAL_ENV", None)
        project.environment |= {"UV_PROJECT_ENVIRONMENT": str(PROJECT / ".venv"), "UV_NO_SYNC": "1"}
        project.environment |= {"DATABASE_URL": database, "REDIS_URL": cache, "ENVIRONMENT": "development"}
        project.run("uv", "run", "alembic", "upgrade", "head")
        yield


@pytest.mark.posix
def test_a_migration_reaches_projects_with_and_without_the_example(origin: Repository):
    """CONTRIBUTING.md describes how to create it, docs/how-to/upgrade.md how a team merges it with its own."""
    teams = [linked(origin, "yes"), linked(origin, "no")]
    (write,) = console_blocks("CONTRIBUTING.md", "Add a migration")
    _, _, join = console_blocks("docs/how-to/upgrade.md", "A project that was generated")
    template = Repository(origin.path(PROJECT.name))
    with migrated(template):
        template.add("app/devices/__init__.py", "")
        template.add("app/devices/models.py", DEVICE)
        template.bash(write)
    origin.commit("Devices")
    for team in teams:
        with migrated(team):
            team.run("uv", "run", "alembic", "revision", "-m", "ours")
            team.run("uv", "run", "alembic", "upgrade", "head")
            team.commit("Ours")
            update(team)
            assert not rejected(team)
            assert "Multiple head revisions" in team.run("uv", "run", "alembic", "upgrade", "head", fails=True)
            team.bash(join)
            team.run("uv", "run", "alembic", "check")
            team.run("uv", "run", "ruff", "check", "migrations")
