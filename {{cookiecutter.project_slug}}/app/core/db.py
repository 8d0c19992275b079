"""PostgreSQL: the engine, the tables' base class and what its errors mean.

The edge owns the transaction: a request's session commits before the answer is sent (app/deps.py),
services never commit. Relationships never load behind your back (`lazy="raise"`).
"""

import asyncpg
from sqlalchemy import MetaData
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from app.core.errors import DatabaseUnavailable

CONNECT_SECONDS = 3
STATEMENT_SECONDS = 30


class Base(DeclarativeBase):
    """Parent of all tables. Constraints get names, so that migrations and errors can say which."""

    # An UPDATE's `updated_at` comes back with the statement, not by a second query.
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012 (SQLAlchemy declares it)
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        }
    )


Sessions = async_sessionmaker[AsyncSession]


def create_engine(
    url: str,
    pool_size: int = 10,
    *,
    pre_ping: bool = False,
    statement_seconds: float | None = STATEMENT_SECONDS,
) -> AsyncEngine:
    """An engine on `url` (`postgresql://…`). Nothing is connected until the first query.

    A server that refuses, or is silent for 3 s, raises DatabaseUnavailable. With `pre_ping` a
    connection that broke while nobody used it is replaced, at a query's cost each time.
    """
    dsn = "postgresql://" + url.partition("://")[2]

    async def connect() -> asyncpg.Connection:
        try:
            return await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, command_timeout=statement_seconds)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise DatabaseUnavailable from error

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=pool_size,
        max_overflow=5,
        pool_timeout=2,
        hide_parameters=True,  # values have no place in logs
    )


def create_sessions(engine: AsyncEngine) -> Sessions:
    """Sessions whose objects stay readable after the commit."""
    return async_sessionmaker(engine, expire_on_commit=False)


def create_lookups(engine: AsyncEngine) -> AsyncEngine:
    """For single statements, each its own transaction: one round trip instead of three."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def database_is_away(error: Exception) -> bool:
    """Whether the server, not the statement, is at fault: gone, starting, stopping or out of slots.

    SQLSTATE classes 08, 53 and 57P of PostgreSQL's appendix A.
    """
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or state.startswith(("08", "53", "57P"))


def conflict_message(error: IntegrityError) -> str:
    """The sentence that the violated constraint carries in `info["problem"]`, or a general one."""
    name = getattr(error.orig.__cause__, "constraint_name", None) if error.orig else None
    for table in Base.metadata.tables.values():
        for constraint in table.constraints:
            if constraint.name == name and "problem" in constraint.info:
                return constraint.info["problem"]
    return "This clashes with what is there already."
