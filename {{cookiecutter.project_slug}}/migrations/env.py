"""Alembic on the application's own engine and tables, one migration at a time.

Start it as often as you like, anywhere: the others wait, then find nothing to do. The lock belongs to a
connection, so `DATABASE_URL` must name PostgreSQL itself here, not a pooler in transaction mode.
"""

import asyncio
from graphlib import TopologicalSorter
from typing import Any

from alembic import context
from alembic.operations.ops import DropTableOp
from sqlalchemy import Connection, text

import app.models  # noqa: F401  (registers every table)
from app.core.db import Base, create_engine
from app.settings import get_settings

LOCK = 4_815_162
"""Who holds this advisory lock of the database migrates it. Any number, as long as it stays."""
LOCK_SECONDS = 5
"""A change waits so long for a table that is in use: whoever asks for the table meanwhile waits behind it."""


def _dependents_first(_context: Any, _revision: Any, scripts: list[Any]) -> None:
    """Order what a new migration drops: Alembic would drop a table before those that refer to it."""
    for script in scripts:
        drops = {op.table_name: op for op in script.upgrade_ops.ops if isinstance(op, DropTableOp)}
        order = TopologicalSorter(dict.fromkeys(drops, ()))
        for name, op in drops.items():
            parents = {key.target_fullname.split(".")[0] for key in op.to_table().foreign_keys}
            for parent in parents & drops.keys() - {name}:
                order.add(parent, name)
        others = [op for op in script.upgrade_ops.ops if not isinstance(op, DropTableOp)]
        script.upgrade_ops.ops = others + [drops[name] for name in order.static_order()]
        script.downgrade_ops = script.upgrade_ops.reverse()


def _migrate(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
    connection.execute(text(f"SET lock_timeout = '{LOCK_SECONDS}s'"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_server_default=True,
        process_revision_directives=_dependents_first,
    )
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
