"""Dependencies that handlers declare by type: `async def get(id: Id, db: Db, user: CurrentUser)`."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from fastapi.params import Depends as Dependency
from fastapi.security import APIKeyCookie
from saaskit import cache
from saaskit.db import Sessionmaker
from saaskit.errors import Forbidden, Unauthorized
from saaskit.oauth import OAuthProviders
from saaskit.ratelimit import Limit
from saaskit.web import ClientInfo, client_info, get_cookie
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection

from app.accounts import browser, sessions
from app.accounts.context import AccountContext
from app.accounts.sessions import AuthenticatedUser
from app.settings import Settings
from app.state import State

# All dependencies are `async def`: FastAPI runs others in a thread, which costs more than their work.


def _state(connection: HTTPConnection) -> State:
    return connection.scope["state"]


async def _db(connection: HTTPConnection) -> AsyncIterator[AsyncSession]:
    async with _state(connection)["sessionmaker"].begin() as session:
        yield session


# scope="function" commits before the response is sent, so a failed commit can never follow a 201.
Db = Annotated[AsyncSession, Depends(_db, scope="function")]
"""The request's transaction: committed when the handler returns, rolled back when it raises."""


async def _sessionmaker(connection: HTTPConnection) -> Sessionmaker:
    return _state(connection)["sessionmaker"]


NewTransaction = Annotated[Sessionmaker, Depends(_sessionmaker)]
"""Opens transactions of the handler's own: `async with new_transaction.begin() as db:`. For streams."""


async def _settings(connection: HTTPConnection) -> Settings:
    return _state(connection)["settings"]


AppSettings = Annotated[Settings, Depends(_settings)]
"""The application's settings."""


async def _client(connection: HTTPConnection) -> ClientInfo:
    return client_info(connection)


Client = Annotated[ClientInfo, Depends(_client)]
"""The client: IP address, user agent, request id."""


async def _browser_cookies(connection: HTTPConnection) -> browser.BrowserCookies:
    return browser.get_cookies(connection)


Cookies = Annotated[browser.BrowserCookies, Depends(_browser_cookies)]
"""The product's cookies as the browser sent them; nothing is verified yet."""


async def _oauth(connection: HTTPConnection) -> OAuthProviders:
    return _state(connection)["oauth"]


OAuth = Annotated[OAuthProviders, Depends(_oauth)]
"""The OAuth providers that users can sign in with."""


async def _account_context(connection: HTTPConnection, client: Client) -> AccountContext:
    state = _state(connection)
    return AccountContext(state["sessionmaker"], state["rate_limiter"], state["settings"], client)


Account = Annotated[AccountContext, Depends(_account_context)]
"""For account services that do slow work, such as hashing a password, between two transactions."""


async def _find_user(connection: HTTPConnection) -> AuthenticatedUser | None:
    user = None
    if token := get_cookie(connection, browser.SESSION):
        # Not in `Db`: a stream would hold that connection until its end.
        async with _state(connection)["autocommit_engine"].begin() as db:
            user = await sessions.find(db, token)
    cache.vary_by_user(str(user.id) if user else "")
    return user


class _SessionCookie(APIKeyCookie):
    """Documents the cookie in OpenAPI and finds its user, in one dependency."""

    async def __call__(self, connection: HTTPConnection) -> AuthenticatedUser:  # type: ignore[override]
        """Return the user; raises Unauthorized without a valid session."""
        if user := await _find_user(connection):
            return user
        hint = " (To make this route public, set `config = RouteConfig(public=True)` in its file.)"
        raise Unauthorized("Sign in first." + ("" if _state(connection)["settings"].production else hint))


require_user = _SessionCookie(
    name=browser.SESSION,
    scheme_name="session",
    description="Set by signing in; browsers send it automatically.",
    auto_error=False,
)
"""The guard of every route whose file does not set `public=True`."""

CurrentUser = Annotated[AuthenticatedUser, Depends(require_user)]
"""The signed-in user. Without one the response is 401, in a public file too."""


async def _recent_user(user: CurrentUser) -> AuthenticatedUser:
    if not user.signed_in_recently:
        message = "Sign in again: this requires a sign-in within the last 10 minutes."
        error = {"location": "cookie", "field": browser.SESSION, "message": message, "type": "sign_in_again"}
        raise Forbidden(message, errors=[error], event="session.not_fresh", user_id=user.id)
    return user


RecentUser = Annotated[AuthenticatedUser, Depends(_recent_user)]
"""A user who signed in within the last 10 minutes, for actions that a stolen session must not suffice for."""


def limit_per_user(limit: Limit) -> Dependency:
    """Return a route dependency that counts the user's requests; raises TooManyRequests."""

    async def check(connection: HTTPConnection, user: CurrentUser) -> None:
        limiter = _state(connection)["rate_limiter"]
        await limiter.check([(limit, str(user.id))], event=f"{limit.name}.throttled")

    return Depends(check)


def limit_per_network(limit: Limit) -> Dependency:
    """Return a route dependency that counts requests from the client's network; raises TooManyRequests."""

    async def check(connection: HTTPConnection, client: Client) -> None:
        limiter = _state(connection)["rate_limiter"]
        await limiter.check([(limit, client.network)], event=f"{limit.name}.throttled")

    return Depends(check)
