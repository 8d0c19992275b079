"""Migrate only when needed; a migration that fails stops everything and says where."""

import signal
from pathlib import Path

import pytest

from devstack import migrations
from devstack.engines import postgres

from .conftest import eventually

pytestmark = pytest.mark.slow

CONFIGURATION = """
[tool.alembic]
script_location = "%(here)s/migrations"
"""

ENVIRONMENT = """
import asyncio, os
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine

def run(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

async def main():
    engine = create_async_engine(os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+asyncpg:"))
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()

asyncio.run(main())
"""

REVISION = """
from alembic import op
revision = {revision!r}
down_revision = {down!r}
def upgrade():
    op.execute({statement!r})
"""

SEED = """
import asyncio, asyncpg, os
async def main():
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    await connection.execute("insert into visits default values")
    await connection.close()
asyncio.run(main())
"""


def write_revision(folder: Path, revision: str, down: str | None, statement: str = "select 1") -> None:
    text = REVISION.format(revision=revision, down=down, statement=statement)
    (folder / f"{revision}_step.py").write_text(text)


def test_first_start_then_nothing_then_a_failure(project: Path, start):
    folder = project / "migrations/versions"
    folder.mkdir(parents=True)
    (project / "migrations/env.py").write_text(ENVIRONMENT)
    (project / "app/seed.py").write_text(SEED)
    with (project / "pyproject.toml").open("a") as file:
        file.write(CONFIGURATION)
    write_revision(folder, "0001", None, "create table visits (at timestamptz default now())")

    first = start().ready()
    assert "migrate   alembic upgrade head  " in first.output
    assert "seed      example data  " in first.output
    assert first.get("/database") == (200, "2")
    assert first.ends(signal.SIGTERM) == 0

    second = start().ready()
    assert "migrate   nothing to do  " in second.output
    assert "seed " not in second.output
    assert second.get("/database") == (200, "3")
    assert second.ends(signal.SIGTERM) == 0

    write_revision(folder, "0002", "0001", "create table invoices (id int)")
    write_revision(folder, "0003", "0002", "create table visits (id int)")
    third = start()
    assert third.ends() == 1
    assert "error: The migration failed: 0003_step.py (revision 0003)" in third.output
    assert 'relation "visits" already exists' in third.output
    assert "api " not in third.output

    write_revision(folder, "0003", "0002")
    fourth = start().ready()
    assert "migrate   alembic upgrade head  " in fourth.output
    assert fourth.get("/database") == (200, "4")


SLOW_SEED = """
import pathlib, time
pathlib.Path("seeding").touch()
while not pathlib.Path("go").exists():
    time.sleep(0.01)
""" + SEED.replace("asyncio.run(main())", "asyncio.run(main())\nprint('filled')\nprint('sign in as ada')\n")


def test_an_interrupted_first_start_gets_its_example_data(project: Path, start):
    folder = project / "migrations/versions"
    folder.mkdir(parents=True)
    (project / "migrations/env.py").write_text(ENVIRONMENT)
    (project / "app/seed.py").write_text(SLOW_SEED)
    with (project / "pyproject.toml").open("a") as file:
        file.write(CONFIGURATION)
    write_revision(folder, "0001", None, "create table visits (at timestamptz default now())")
    first = start()
    eventually((project / "seeding").exists)
    assert first.ends(signal.SIGKILL) == -signal.SIGKILL
    (project / "go").touch()

    second = start().ready()
    assert "migrate   nothing to do  " in second.output
    assert "seed      sign in as ada  " in second.output
    assert second.get("/database") == (200, "2")
    assert second.ends(signal.SIGINT) == 0

    third = start().ready()
    assert "seed " not in third.output
    assert third.ends(signal.SIGINT) == 0


def test_only_an_empty_database_of_a_person_is_filled(project: Path, start):
    """Whatever was interrupted before: what they keep in it is theirs."""
    folder = project / "migrations/versions"
    folder.mkdir(parents=True)
    (project / "migrations/env.py").write_text(ENVIRONMENT)
    (project / "app/seed.py").write_text(SEED)
    with (project / "pyproject.toml").open("a") as file:
        file.write(CONFIGURATION)
    write_revision(folder, "0001", None, "create table visits (at timestamptz default now())")
    with postgres(project / "theirs") as url:
        first = start(DATABASE_URL=url).ready()
        assert "seed      example data  " in first.output
        assert first.ends(signal.SIGINT) == 0
        (project / ".dev/unseeded").touch()
        second = start(DATABASE_URL=url).ready()
        assert "seed " not in second.output
        assert second.ends(signal.SIGINT) == 0


def test_heads_are_read_without_importing(tmp_path: Path):
    assert migrations.heads(tmp_path / "none") == set()
    write_revision(tmp_path, "a", None)
    write_revision(tmp_path, "b", "a")
    write_revision(tmp_path, "c", "a")
    assert migrations.heads(tmp_path) == {"b", "c"}
    (tmp_path / "merge.py").write_text(
        'revision: str = "d"\ndown_revision: tuple = ("b", "c")\nraise SystemExit'
    )
    assert migrations.heads(tmp_path) == {"d"}
    (tmp_path / "broken.py").write_text("revision = (")
    assert migrations.heads(tmp_path) == {"d"}


def test_culprit(tmp_path: Path):
    write_revision(tmp_path, "a", None)
    trace = f'File "/lib/alembic/x.py", line 1\nFile "{tmp_path}/a_step.py", line 5, in upgrade\nError'
    assert migrations.culprit(trace, tmp_path) == "a_step.py (revision a)"
    assert (
        migrations.culprit("Running upgrade a -> b, more\nError", tmp_path) == "Running upgrade a -> b, more"
    )
    assert migrations.culprit("Error", tmp_path) == "before the first step"
