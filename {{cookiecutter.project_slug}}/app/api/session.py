"""/api/session: the sign-in of this browser."""

from fastapi import Response

from app.core import cookies
from app.core.errors import TooManyRequests, Unauthorized
from app.core.problems import problems
from app.deps import Browser, Client, CurrentUser, Db, Work
from app.schemas.passwords import SignIn
from app.schemas.sessions import CurrentSession
from app.schemas.users import User
from app.services import passwords, sessions
from filerouter import RouteConfig, operation

config = RouteConfig(public=True)


@operation(status_code=204, responses=problems(Unauthorized, TooManyRequests))
async def post(form: SignIn, work: Work, response: Response, browser: Browser) -> None:
    """Sign in. The answer's cookie is the session; one that the browser had ends."""
    started = await passwords.sign_in(work, form, browser)
    started.keep(response)


async def get(user: CurrentUser) -> CurrentSession:
    """Say who is signed in."""
    return CurrentSession(user=User.model_validate(user), signed_in_at=user.signed_in_at)


@operation(status_code=204)
async def delete(user: CurrentUser, db: Db, client: Client, response: Response) -> None:
    """Sign out."""
    await sessions.end(db, user, client, user.session_id)
    cookies.drop(response, cookies.SESSION)
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
