"""A project with the layout before packages moves to today's, and a feature of its own still works."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.template.repositories import Repository
from tools.bake import ROOT, bake
from tools.merge_pyproject import merge_pyproject
from tools.migrate_to_packages import BEFORE_PACKAGES, PROJECT, Plan, Template, find_names
from tools.rewrite_imports import Names, rewrite

SCRIPT = ROOT / "tools/migrate_to_packages.py"

MODEL = '''
"""Books."""

from sqlalchemy import BigInteger, ForeignKey, Identity, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.core.db import Base


class Book(Base):
    """A book of a user."""

    __tablename__ = "books"
    __table_args__ = (UniqueConstraint("isbn", info={"problem": "Another book has this ISBN."}),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    isbn: Mapped[str] = mapped_column(String(13))
    title: Mapped[str] = mapped_column(String(200))
'''
SCHEMA = '''
"""Books on the wire."""

from app.core.paging import PageQuery
from app.core.schema import Input, Output
from app.core.types import Line, Slug


class BookCreate(Input):
    isbn: Slug
    title: Line


class Book(Output):
    id: int
    isbn: str
    title: str


class BookQuery(PageQuery):
    """Which books."""
'''
SERVICE = '''
"""Books: one statement each."""

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.errors import NotFound, UpstreamFailed
from app.core.paging import Page, paginate
from app.models.books import Book as Row
from app.schemas.books import Book, BookCreate, BookQuery

__all__ = ["UpstreamFailed", "browse", "create", "find"]


async def browse(db: AsyncSession, query: BookQuery) -> Page[Book]:
    return await paginate(db, select(Row).order_by(Row.id), Book, query)


async def create(db: AsyncSession, owner_id: int, new: BookCreate) -> Book:
    row = await db.scalar(insert(Row).values(**new.model_dump(), owner_id=owner_id).returning(Row))
    return Book.model_validate(row)


async def find(db: AsyncSession, id: int) -> Book:
    if (row := await db.get(Row, id)) is None:
        raise NotFound(f"There is no book {id}.")
    return Book.model_validate(row)
'''
LIST = '''
"""/api/books."""

from typing import Annotated

from fastapi import Query, Request, Response

from app.core.errors import Conflict
from app.core.paging import Page, link
from app.core.problems import problems
from app.deps import CurrentUser, Db
from app.schemas.books import Book, BookCreate, BookQuery
from app.services import books
from filerouter import RouteConfig, operation

config = RouteConfig(public=True)


async def get(query: Annotated[BookQuery, Query()], db: Db, request: Request, response: Response) -> Page[Book]:
    """List books."""
    page = await books.browse(db, query)
    link(request, response, page)
    return page


@operation(status_code=201, responses=problems(Conflict))
async def post(new: BookCreate, user: CurrentUser, db: Db, response: Response) -> Book:
    """Add a book."""
    book = await books.create(db, user.id, new)
    response.headers["Location"] = f"/api/books/{book.id}"
    return book
'''
ITEM = '''
"""/api/books/7."""

from app.core.conditional import UNCHANGED, Conditional
from app.core.errors import NotFound
from app.core.problems import problems
from app.core.types import Id
from app.deps import Db
from app.schemas.books import Book
from app.services import books
from filerouter import RouteConfig, operation

config = RouteConfig(public=True, responses=problems(NotFound))


@operation(responses=UNCHANGED)
async def get(id: Id, db: Db, http: Conditional) -> Book:
    """Read a book."""
    return http.answer(await books.find(db, id))
'''
TEST = '''
"""/api/books."""

from httpx2 import AsyncClient

BOOK = {"isbn": "9780131103627", "title": "The C Programming Language"}


async def test_create_then_read(member: AsyncClient):
    created = await member.post("/api/books", json=BOOK)
    assert created.status_code == 201
    assert (await member.get(created.headers["location"])).json() == created.json()
    assert (await member.get("/api/books")).json()["total"] == 1


async def test_an_isbn_is_unique(member: AsyncClient):
    await member.post("/api/books", json=BOOK)
    response = await member.post("/api/books", json=BOOK)
    assert (response.status_code, response.json()["detail"]) == (409, "Another book has this ISBN.")
'''
MIGRATION = '''
"""Books."""

import sqlalchemy as sa
from alembic import op

revision = "b00c5"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "books",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("owner_id", sa.BigInteger(), nullable=False),
        sa.Column("isbn", sa.String(length=13), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_books_owner_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_books")),
        sa.UniqueConstraint("isbn", name=op.f("uq_books_isbn")),
    )
    op.create_index(op.f("ix_books_owner_id"), "books", ["owner_id"])


def downgrade() -> None:
    op.drop_table("books")
'''
MERGE = '''
"""Join the two heads, as `alembic merge heads` does."""

revision = "b00c6"
down_revision = ("b00c5", "0004")
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
'''
FEATURE = {
    "app/models/books.py": MODEL,
    "app/schemas/books.py": SCHEMA,
    "app/services/books.py": SERVICE,
    "app/api/books/index.py": LIST,
    "app/api/books/[id].py": ITEM,
    "tests/api/test_books.py": TEST,
    "migrations/versions/b00c5_books.py": MIGRATION,
}


@pytest.fixture(scope="module")
def old_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template with the old layout, from this repository's history."""
    folder = tmp_path_factory.mktemp("old") / "saas-starter"
    folder.mkdir()
    paths = (PROJECT, "cookiecutter.json", "hooks", "templates")
    command = ["git", "archive", BEFORE_PACKAGES, *paths]
    archive = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"a shallow clone does not have {BEFORE_PACKAGES}")
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    return folder


@pytest.fixture
def team(old_template: Path, tmp_path: Path) -> Repository:
    """An old project with a feature of the team's."""
    done = bake(old_template, tmp_path, project_name="Night Owl")
    assert done.returncode == 0, done.stderr
    team = Repository(tmp_path / "night-owl")
    team.environment.pop("VIRTUAL_ENV", None)
    for path, text in FEATURE.items():
        team.add(path, text.lstrip())
    team.git("init", "--quiet", "--initial-branch", "main")
    team.commit("Our work")
    return team


def migrate(team: Repository, *options: str, fails: bool = False) -> str:
    return team.run(sys.executable, str(SCRIPT), str(team.folder), *options, fails=fails)


def test_without_write_nothing_changes(team: Repository):
    output = migrate(team)
    assert "app/models/books.py -> app/books/models.py" in output
    assert "Run it again with --write" in output
    assert "To change by hand" not in output
    assert not team.git("status", "--porcelain")


def test_uncommitted_changes_are_refused(team: Repository):
    team.add("app/new.py", "x = 1\n")
    assert "Commit your changes first" in migrate(team, "--write", fails=True)
    assert team.path("app/core").is_dir()


def test_edited_files_stay_and_are_named(team: Repository):
    team.edit("app/core/errors.py", "class Problem", "class Trouble(Exception): ...\n\n\nclass Problem")
    team.edit("filerouter/trie.py", '"""', '"""Ours. ')
    team.edit("app/services/posts.py", '"""', '"""Ours. ')
    team.edit("Dockerfile", "USER 10001", "USER 10002")
    team.edit("pyproject.toml", '    "granian', '    "stripe>=12",\n    "granian')
    team.edit("pyproject.toml", "line-length = 110", "line-length = 88")
    team.commit("Edits")
    output = migrate(team, "--write")
    assert "app/core/errors.py -> packages/saaskit/src/saaskit/errors" in output
    assert "filerouter/trie.py -> packages/filerouter" in output
    assert "app/services/posts.py -> app/posts/service" in output
    assert "tool.ruff.line-length was 88" in output
    assert "USER 10002" in team.path("Dockerfile").read_text()
    assert "COPY packages packages" in team.path("Dockerfile").read_text()
    assert '    "stripe>=12",\n' in team.path("pyproject.toml").read_text()
    kept = {path.relative_to(team.folder).as_posix() for path in team.folder.glob("filerouter/**/*") if path.is_file()}
    assert kept == {"filerouter/trie.py"}
    assert not team.path("devstack").exists()
    assert "Trouble" in team.path("app/core/errors.py").read_text()


def test_an_unedited_project_becomes_a_generated_one(old_template: Path, tmp_path: Path, template: Path):
    for example in ("yes", "no"):
        assert bake(old_template, tmp_path / f"old-{example}", example=example).returncode == 0
        assert bake(template, tmp_path / f"new-{example}", example=example).returncode == 0
        team = Repository(tmp_path / f"old-{example}/acme")
        team.git("init", "--quiet")
        team.commit("Begin")
        migrate(team, "--write")
        migrated, generated = (
            {
                path.relative_to(folder).as_posix(): path.read_bytes()
                for path in folder.rglob("*")
                if path.is_file() and ".git" not in path.parts
            }
            for folder in (team.folder, tmp_path / f"new-{example}/acme")
        )
        assert set(migrated) == set(generated), example
        assert not [path for path in generated if migrated[path] != generated[path]], example


@pytest.mark.slow
@pytest.mark.posix
def test_a_feature_of_the_team_works_after_the_move(team: Repository):
    migrate(team, "--write")
    team.add("migrations/versions/b00c6_packages.py", MERGE.lstrip())
    assert not team.path("app/core").exists()
    assert not team.path("app/models").exists()
    assert "from saaskit.types import SingleLine, Slug" in team.path("app/books/schemas.py").read_text()
    team.run("uv", "sync", "--quiet")
    team.run("uv", "run", "ruff", "format", "--quiet")
    team.run("uv", "run", "ruff", "check", "--fix", "--quiet", "app/books", "app/api/books", "tests/api")
    team.run("uv", "run", "pyright", "app/books", "app/api/books", "tests/api/test_books.py")
    team.run("uv", "run", "python", "-m", "app.openapi")
    team.run("uv", "run", "routes", "--check")
    output = team.run("uv", "run", "pytest", "-q", "tests/api/test_books.py", "tests/api/test_health.py")
    assert "passed" in output
    assert '"/api/books/{id}"' in team.path("openapi.json").read_text()


NAMES = Names(
    modules={"app.core.cache": "saaskit.cache", "app.core.types": "saaskit.types"},
    names={"app.core.types.Line": "saaskit.types.SingleLine", "app.core.cache.serve": "saaskit.cache.vary_by_user"},
    attributes={},
    keywords={},
    fixtures={"member": "signed_in_client"},
    exists=lambda name: name.startswith("saaskit."),
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("from app.core.types import Line\nx: Line", "from saaskit.types import SingleLine\nx: SingleLine"),
        ("from app.core.types import Line as L\nx: L", "from saaskit.types import SingleLine as L\nx: L"),
        (
            "from app.core.types import Line\nSingleLine: Line",
            "from saaskit.types import SingleLine as Line\nSingleLine: Line",
        ),
        ("from app.core import cache\ncache.serve(1)", "from saaskit import cache\ncache.vary_by_user(1)"),
        (
            "async def test_x(member):\n    assert 'é', member.get",
            "async def test_x(signed_in_client):\n    assert 'é', signed_in_client.get",
        ),
        ("def f():\n    from app.core.types import Slug", "def f():\n    from saaskit.types import Slug"),
    ],
)
def test_code_is_rewritten(old: str, new: str):
    assert rewrite(old, NAMES) == (new, [])


def test_every_new_name_exists(old_template: Path, tmp_path: Path):
    assert bake(old_template, tmp_path).returncode == 0
    project = tmp_path / "acme"
    template = Template(project, BEFORE_PACKAGES)
    names = find_names(project, template, Plan())
    new = {*names.names.values(), *names.modules.values()}
    assert not [name for name in sorted(new) if not names.exists(name)]


def test_a_name_without_successor_is_reported():
    code = "import os\nfrom app.core.links import answer\nfrom app.deps import Owner\n"
    assert rewrite(code, NAMES) == (
        code,
        ["2: nothing replaces app.core.links.answer", "3: nothing replaces app.deps.Owner"],
    )


def test_the_projects_own_packages_are_merged():
    old = '[project]\nname = "a"\ndependencies = [\n    "b>=1",\n    "c>=1",\n]\n[tool.x]\ny = 1\n'
    new = '[project]\nname = "a"\ndependencies = [\n    "c>=2",\n]\n[tool.x]\ny = 3\n'
    current = old.replace('"a"', '"ours"').replace('    "c', '    "d>=1",\n    "c').replace("y = 1", "y = 2")
    text, by_hand = merge_pyproject(current, old, new)
    assert text == '[project]\nname = "ours"\ndependencies = [\n    "c>=2",\n    "d>=1",\n]\n[tool.x]\ny = 3\n'
    assert by_hand == ["tool.x.y was 2; the new file has 3"]
