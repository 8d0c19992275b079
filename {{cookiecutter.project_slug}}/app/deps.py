"""What handlers ask for by type: `async def get(id: Id, db: Db, user: CurrentUser) -> Product`."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from fastapi.security import APIKeyCookie
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection

from app.core import cache, cookies
from app.core.client import Client as ClientOf
from app.core.client import client_of
from app.core.db import Sessions
from app.core.errors import Forbidden, Unauthorized
from app.core.work import Work as WorkOf
from app.services import sessions
from app.services.sessions import SignedIn
from app.settings import Settings

# `async def` throughout: FastAPI sends others to a thread, which costs more than what they do.


async def _transaction(connection: HTTPConnection) -> AsyncIterator[AsyncSession]:
    async with connection.app.state.sessions.begin() as session:
        yield session


# "function": commits before the answer is sent, so that a 201 is never followed by a failed commit.
Db = Annotated[AsyncSession, Depends(_transaction, scope="function")]
"""The request's transaction: committed when the handler returns, rolled back when it raises."""


async def _sessions(connection: HTTPConnection) -> Sessions:
    return connection.app.state.sessions


NewSessions = Annotated[Sessions, Depends(_sessions)]
"""Transactions of the handler's own, for answers that outlive the request's."""


async def _settings(connection: HTTPConnection) -> Settings:
    return connection.app.state.settings


Config = Annotated[Settings, Depends(_settings)]
"""The process's settings."""


async def _client(connection: HTTPConnection) -> ClientOf:
    return client_of(connection)


Client = Annotated[ClientOf, Depends(_client)]
"""Who is calling: address, browser, request id."""


async def _work(connection: HTTPConnection, client: Client) -> WorkOf:
    state = connection.app.state
    return WorkOf(
        sessions=state.sessions,
        throttle=state.throttle,
        providers=state.providers,
        settings=state.settings,
        client=client,
    )


Work = Annotated[WorkOf, Depends(_work)]
"""Instead of `Db` where the service waits for something slow between two transactions."""


async def _find_user(connection: HTTPConnection) -> SignedIn | None:
    token = cookies.read(connection, cookies.SESSION)
    user = await _of_session(connection, token) if token else None
    cache.serve(cache.Audience(user=str(user.id) if user else ""))
    return user


async def _of_session(connection: HTTPConnection, token: str) -> SignedIn | None:
    # Not in `Db`: a stream, or a handler that waits, would hold the connection until its end.
    state = connection.app.state
    async with getattr(state, "lookups", state.sessions).begin() as db:
        return await sessions.find(db, token)


MaybeUser = Annotated[SignedIn | None, Depends(_find_user)]
"""Who is signed in, or None."""


class _SignedIn(APIKeyCookie):
    """Shows in OpenAPI that a route needs the cookie. One dependency: FastAPI solves all anew at each use."""

    async def __call__(self, connection: HTTPConnection) -> SignedIn:  # type: ignore[override]
        """The user; Unauthorized for strangers."""
        user = await _find_user(connection)
        if user is None:
            hint = " (To open this route, say `config = RouteConfig(public=True)` in its file.)"
            raise Unauthorized("Sign in first." + ("" if connection.app.state.settings.production else hint))
        return user


require_user = _SignedIn(
    name=cookies.SESSION,
    scheme_name="session",
    description="Set when you sign in; your browser keeps it.",
    auto_error=False,
)
"""The guard of every route whose file does not say `public=True`."""

CurrentUser = Annotated[SignedIn, Depends(require_user)]
"""Who is signed in; a route that asks for it answers 401 to strangers, also in a public file."""


async def _owner(user: CurrentUser) -> str:
    return str(user.id)


Owner = Annotated[str, Depends(_owner)]
"""Whose jobs these are: the user's id, as the table of jobs writes it."""


async def _fresh_user(user: CurrentUser) -> SignedIn:
    if not user.fresh:
        message = "Sign in again: this needs a sign-in within the last 10 minutes."
        error = {"location": "cookie", "field": cookies.SESSION, "message": message, "type": "sign_in_again"}
        raise Forbidden(message, errors=[error], event="session.not_fresh", user_id=user.id)
    return user


FreshUser = Annotated[SignedIn, Depends(_fresh_user)]
"""Who signed in a few minutes ago: for acts that a stolen session must not be enough for."""


async def _browser(connection: HTTPConnection) -> cookies.Browser:
    return cookies.browser_of(connection)


Browser = Annotated[cookies.Browser, Depends(_browser)]
"""Our cookies as they were sent, whoever they belong to."""
