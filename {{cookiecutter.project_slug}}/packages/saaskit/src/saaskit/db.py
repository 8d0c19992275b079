"""PostgreSQL: engines, the base class of all tables, and the meaning of database errors.

A request's transaction is committed before its response is sent; services never commit. Relationships are
never loaded implicitly (`lazy="raise"`).
"""

import asyncpg
from sqlalchemy import MetaData
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from saaskit.errors import DatabaseUnavailable

__all__ = [
    "Base",
    "Sessionmaker",
    "conflict_message",
    "create_autocommit_engine",
    "create_engine",
    "create_sessionmaker",
    "is_unavailable",
    "postgresql_dsn",
]

CONNECT_SECONDS = 3
STATEMENT_SECONDS = 30


class Base(DeclarativeBase):
    """Base class of all tables. Constraints have names, so that migrations and errors can refer to them."""

    # An UPDATE returns `updated_at` itself instead of needing a second query.
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


Sessionmaker = async_sessionmaker[AsyncSession]
"""Opens database sessions: `async with sessionmaker.begin() as db:` is one transaction."""


def postgresql_dsn(url: str) -> str:
    """Return the URL with the scheme that asyncpg knows."""
    return "postgresql://" + url.partition("://")[2]


def create_engine(
    url: str,
    pool_size: int = 10,
    *,
    pre_ping: bool = False,
    statement_seconds: float | None = STATEMENT_SECONDS,
) -> AsyncEngine:
    """Return an engine for `url` (`postgresql://…`). It connects at the first query.

    A server that refuses the connection or does not respond for 3 seconds raises DatabaseUnavailable. With
    `pre_ping`, a connection that broke while it was idle is replaced, at the cost of one query per checkout.
    """

    async def connect() -> asyncpg.Connection:
        try:
            return await asyncpg.connect(
                postgresql_dsn(url), timeout=CONNECT_SECONDS, command_timeout=statement_seconds
            )
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise DatabaseUnavailable from error

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=pool_size,
        max_overflow=5,
        pool_timeout=2,
        pool_pre_ping=pre_ping,
        hide_parameters=True,  # values must not reach the log
    )


def create_sessionmaker(engine: AsyncEngine) -> Sessionmaker:
    """Return a sessionmaker whose objects stay readable after the commit."""
    return async_sessionmaker(engine, expire_on_commit=False)


def create_autocommit_engine(engine: AsyncEngine) -> AsyncEngine:
    """Return a view of the engine for single statements: one round trip instead of three."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def is_unavailable(error: Exception) -> bool:
    """Return whether the server, not the statement, is at fault: lost, starting, stopping or out of slots.

    SQLSTATE classes 08, 53 and 57P (PostgreSQL documentation, appendix A).
    """
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or state.startswith(("08", "53", "57P"))


def conflict_message(error: IntegrityError) -> str:
    """Return the message in the violated constraint's `info["problem"]`, or a general one."""
    name = getattr(error.orig.__cause__, "constraint_name", None) if error.orig else None
    for table in Base.metadata.tables.values():
        for constraint in table.constraints:
            if constraint.name == name and "problem" in constraint.info:
                return constraint.info["problem"]
    return "This conflicts with existing data."
