"""POST /api/password-reset: I forgot my password."""

from app.core.errors import TooManyRequests
from app.core.problems import problems
from app.deps import Work
from app.schemas.passwords import PasswordForgotten
from app.schemas.users import MailSent
from app.services import passwords
from filerouter import RouteConfig, operation

config = RouteConfig(public=True)


@operation(status_code=202, responses=problems(TooManyRequests))
async def post(form: PasswordForgotten, work: Work) -> MailSent:
    """Ask for a link that lets you choose a new password."""
    await passwords.forgot(work, form)
    return MailSent()
