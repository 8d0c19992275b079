"""PUT /api/me/password: your password."""

from fastapi import Response
from filerouter import operation
from saaskit.errors import TooManyRequests
from saaskit.web import problems

from app.accounts import passwords
from app.accounts.browser import set_session
from app.accounts.schemas import PasswordChange
from app.deps import Account, Cookies, CurrentUser


@operation(status_code=204, responses=problems(TooManyRequests))
async def put(
    form: PasswordChange, user: CurrentUser, account: Account, cookies: Cookies, response: Response
) -> None:
    """Change your password. Ends all your sessions and starts a new one in this browser."""
    session = await passwords.change(account, user, form, cookies.device)
    set_session(response, session)
