"""Migrations run only if needed; a failed one stops the start and is named."""

import signal
from pathlib import Path

import pytest
from devstack import migrations, run_postgres

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


def test_migrations_run_if_needed_and_a_failed_one_is_named(project: Path, start):
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
    assert first.exit(signal.SIGTERM) == 0

    second = start().ready()
    assert "migrate   nothing to do  " in second.output
    assert "seed " not in second.output
    assert second.get("/database") == (200, "3")
    assert second.exit(signal.SIGTERM) == 0

    write_revision(folder, "0002", "0001", "create table invoices (id int)")
    write_revision(folder, "0003", "0002", "create table visits (id int)")
    third = start()
    assert third.exit() == 1
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
""" + SEED.replace("asyncio.run(main())", "asyncio.run(main())\nprint('seeded')\nprint('sign in as ada')\n")


def test_an_interrupted_seed_is_repeated_at_the_next_start(project: Path, start):
    folder = project / "migrations/versions"
    folder.mkdir(parents=True)
    (project / "migrations/env.py").write_text(ENVIRONMENT)
    (project / "app/seed.py").write_text(SLOW_SEED)
    with (project / "pyproject.toml").open("a") as file:
        file.write(CONFIGURATION)
    write_revision(folder, "0001", None, "create table visits (at timestamptz default now())")
    first = start()
    eventually((project / "seeding").exists)
    assert first.exit(signal.SIGKILL) == -signal.SIGKILL
    (project / "go").touch()

    second = start().ready()
    assert "migrate   nothing to do  " in second.output
    assert "seed      sign in as ada  " in second.output
    assert second.get("/database") == (200, "2")
    assert second.exit(signal.SIGINT) == 0

    third = start().ready()
    assert "seed " not in third.output
    assert third.exit(signal.SIGINT) == 0


def test_a_database_of_the_user_is_seeded_only_if_it_was_empty(project: Path, start):
    """Even if a seed of the embedded database was interrupted before."""
    folder = project / "migrations/versions"
    folder.mkdir(parents=True)
    (project / "migrations/env.py").write_text(ENVIRONMENT)
    (project / "app/seed.py").write_text(SEED)
    with (project / "pyproject.toml").open("a") as file:
        file.write(CONFIGURATION)
    write_revision(folder, "0001", None, "create table visits (at timestamptz default now())")
    with run_postgres(project / "external") as url:
        first = start(DATABASE_URL=url).ready()
        assert "seed      example data  " in first.output
        assert first.exit(signal.SIGINT) == 0
        (project / ".dev/unseeded").touch()
        second = start(DATABASE_URL=url).ready()
        assert "seed " not in second.output
        assert second.exit(signal.SIGINT) == 0


def test_head_revisions_are_read_without_importing_the_files(tmp_path: Path):
    assert migrations.head_revisions(tmp_path / "none") == set()
    write_revision(tmp_path, "a", None)
    write_revision(tmp_path, "b", "a")
    write_revision(tmp_path, "c", "a")
    assert migrations.head_revisions(tmp_path) == {"b", "c"}
    (tmp_path / "merge.py").write_text('revision: str = "d"\ndown_revision: tuple = ("b", "c")\nraise SystemExit')
    assert migrations.head_revisions(tmp_path) == {"d"}
    (tmp_path / "broken.py").write_text("revision = (")
    assert migrations.head_revisions(tmp_path) == {"d"}


def test_failed_migration_is_found_in_the_output(tmp_path: Path):
    write_revision(tmp_path, "a", None)
    trace = f'File "/lib/alembic/x.py", line 1\nFile "{tmp_path}/a_step.py", line 5, in upgrade\nError'
    assert migrations.find_failed_migration(trace, tmp_path) == "a_step.py (revision a)"
    assert (
        migrations.find_failed_migration("Running upgrade a -> b, more\nError", tmp_path)
        == "Running upgrade a -> b, more"
    )
    assert migrations.find_failed_migration("Error", tmp_path) == "before the first step"
