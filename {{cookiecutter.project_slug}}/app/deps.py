"""What handlers ask for by type: `async def get(id: Id, db: Db) -> Product`."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.errors import Unauthorized
from app.settings import Settings


async def _transaction(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.sessions.begin() as session:
        yield session


# "function": commits before the answer is sent, so that a 201 is never followed by a failed commit.
Db = Annotated[AsyncSession, Depends(_transaction, scope="function")]
"""The request's transaction: committed when the handler returns, rolled back when it raises."""


def _settings(request: Request) -> Settings:
    return request.app.state.settings


Config = Annotated[Settings, Depends(_settings)]
"""The process's settings."""


async def require_user() -> None:
    """The guard of every route whose file does not say `public=True`.

    There are no accounts yet, so nobody passes it: a new route is closed until its file opens it.
    """
    raise Unauthorized(
        "Sign in first. (To open this route, say `config = RouteConfig(public=True)` in its file.)"
    )
