"""PUT /api/me/password."""

from fastapi import Response

from app.core.errors import TooManyRequests
from app.core.problems import problems
from app.deps import Browser, CurrentUser, Work
from app.schemas.passwords import PasswordChange
from app.services import passwords
from filerouter import operation


@operation(status_code=204, responses=problems(TooManyRequests))
async def put(
    form: PasswordChange, user: CurrentUser, work: Work, response: Response, browser: Browser
) -> None:
    """Change your password. Signs you out everywhere else, and in here under a new cookie."""
    started = await passwords.change(work, user, form, browser.device)
    started.keep(response)
