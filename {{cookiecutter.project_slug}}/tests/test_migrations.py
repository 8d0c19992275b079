"""Migrations and models agree, and migrations can be undone."""

import asyncio
from collections.abc import Callable

import pytest
from alembic import command
from alembic.config import Config
from saaskit.db import create_engine
from sqlalchemy import text

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def url(new_database: Callable[[str], str]) -> str:
    """A database at the newest revision."""
    return new_database("migrations")


@pytest.fixture
def alembic(url: str) -> Config:
    config = Config(toml_file=ROOT / "pyproject.toml")
    config.attributes["url"] = url
    return config


async def tables(url: str) -> set[str]:
    engine = create_engine(url, pool_size=1)
    async with engine.connect() as connection:
        found = await connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
    await engine.dispose()
    return set(found)


def test_the_newest_revision_has_the_tables_of_the_models(alembic: Config):
    command.check(alembic)


@pytest.mark.slow
def test_all_migrations_can_be_undone_and_applied_again(alembic: Config, url: str):
    before = asyncio.run(tables(url))
    command.downgrade(alembic, "base")
    assert asyncio.run(tables(url)) == {"alembic_version"}
    command.upgrade(alembic, "head")
    assert asyncio.run(tables(url)) == before
    command.check(alembic)
