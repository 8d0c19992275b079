"""POST /api/users: sign up."""

from filerouter import RouteConfig, operation
from saaskit.errors import TooManyRequests
from saaskit.web import problems

from app.accounts import sign_up
from app.accounts.schemas import MailSent, SignUp
from app.deps import Account

config = RouteConfig(public=True)


@operation(status_code=202, responses=problems(TooManyRequests))
async def post(form: SignUp, account: Account) -> MailSent:
    """Sign up. Sends a confirmation e-mail; repeat to resend it."""
    await sign_up.request(account, form)
    return MailSent()
