"""Run Alembic on the application's own engine and tables, one migration at a time.

Migrations can be started several times at once: an advisory lock lets one run, and the others then find
nothing to do. The lock belongs to a connection, so `DATABASE_URL` must be PostgreSQL itself here, not a
pooler in transaction mode.
"""

import asyncio
from graphlib import TopologicalSorter
from typing import Any

from alembic import context
from alembic.operations.ops import DropTableOp
from saaskit.db import Base, create_engine
from saaskit.features import load_features
from sqlalchemy import Connection, text

from app.settings import get_settings

LOCK = 4_815_162
"""The key of the advisory lock. Any number, as long as it stays the same."""
LOCK_SECONDS = 5
"""How long a migration waits for a table in use. Later queries of that table wait until it is done."""

load_features("app")


def _dependents_first(_context: Any, _revision: Any, scripts: list[Any]) -> None:
    """Order the tables that a new migration drops: those that refer to a table are dropped before it."""
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
