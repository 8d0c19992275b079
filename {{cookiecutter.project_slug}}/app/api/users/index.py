"""POST /api/users: sign up."""

from app.core.errors import TooManyRequests
from app.core.problems import problems
from app.deps import Work
from app.schemas.passwords import SignUp
from app.schemas.users import MailSent
from app.services import sign_up
from filerouter import RouteConfig, operation

config = RouteConfig(public=True)


@operation(status_code=202, responses=problems(TooManyRequests))
async def post(form: SignUp, work: Work) -> MailSent:
    """Ask for an account. A mail has the link that confirms it; asking again sends another."""
    await sign_up.ask(work, form)
    return MailSent()
