"""Alembic on the application's own engine and tables, one migration at a time.

Start it as often as you like, anywhere: the others wait, then find nothing to do. The lock belongs to a
connection, so `DATABASE_URL` must name PostgreSQL itself here, not a pooler in transaction mode.
"""

import asyncio

from alembic import context
from sqlalchemy import Connection, text

import app.models  # noqa: F401  (registers every table)
from app.core.db import Base, create_engine
from app.settings import get_settings

LOCK = 4_815_162
"""Who holds this advisory lock of the database migrates it. Any number, as long as it stays."""
LOCK_SECONDS = 5
"""A change waits so long for a table that is in use: whoever asks for the table meanwhile waits behind it."""


def _migrate(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
    connection.execute(text(f"SET lock_timeout = '{LOCK_SECONDS}s'"))
    connection.commit()
    context.configure(connection=connection, target_metadata=Base.metadata, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


async def _run() -> None:
    url = context.config.attributes.get("url") or get_settings().database_url
    engine = create_engine(url, pool_size=1, statement_seconds=None)
    async with engine.connect() as connection:
        await connection.run_sync(_migrate)
        await connection.commit()
    await engine.dispose()


asyncio.run(_run())
