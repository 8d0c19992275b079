"""What handlers ask for by type: `async def get(id: Id, db: Db) -> Product`."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db import Sessions
from app.core.errors import Unauthorized
from app.settings import Settings


async def _transaction(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.sessions.begin() as session:
        yield session


# "function": commits before the answer is sent, so that a 201 is never followed by a failed commit.
Db = Annotated[AsyncSession, Depends(_transaction, scope="function")]
"""The request's transaction: committed when the handler returns, rolled back when it raises."""


def _sessions(request: Request) -> Sessions:
    return request.app.state.sessions


NewSessions = Annotated[Sessions, Depends(_sessions)]
"""Transactions of the handler's own, for answers that outlive the request's."""


def _settings(request: Request) -> Settings:
    return request.app.state.settings


Config = Annotated[Settings, Depends(_settings)]
"""The process's settings."""


def _owner() -> str:
    return "anonymous"


Owner = Annotated[str, Depends(_owner)]
"""Whose things these are. There are no accounts yet: everybody is the same person."""


async def require_user() -> None:
    """The guard of every route whose file does not say `public=True`.

    There are no accounts yet, so nobody passes it: a new route is closed until its file opens it.
    """
    raise Unauthorized(
        "Sign in first. (To open this route, say `config = RouteConfig(public=True)` in its file.)"
    )
