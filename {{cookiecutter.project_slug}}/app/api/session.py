"""/api/session: the session of this browser."""

from fastapi import Response
from filerouter import RouteConfig, operation
from saaskit.errors import TooManyRequests, Unauthorized
from saaskit.web import delete_cookie, problems

from app.accounts import sessions
from app.accounts.browser import SESSION, set_session
from app.accounts.schemas import CurrentSession, SignIn, User
from app.accounts.sign_in import sign_in_with_password
from app.deps import Account, Client, Cookies, CurrentUser, Db

config = RouteConfig(public=True)


@operation(status_code=204, responses=problems(Unauthorized, TooManyRequests))
async def post(form: SignIn, account: Account, cookies: Cookies, response: Response) -> None:
    """Sign in. Sets the session cookie and ends this browser's previous session."""
    session = await sign_in_with_password(account, form, cookies)
    set_session(response, session)


async def get(user: CurrentUser) -> CurrentSession:
    """Get the current session."""
    return CurrentSession(user=User.model_validate(user), signed_in_at=user.signed_in_at)


@operation(status_code=204)
async def delete(user: CurrentUser, db: Db, client: Client, response: Response) -> None:
    """Sign out."""
    await sessions.end(db, user, client, user.session_id)
    delete_cookie(response, SESSION)
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
