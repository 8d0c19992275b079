"""POST /api/password-reset: reset a forgotten password."""

from filerouter import RouteConfig, operation
from saaskit.errors import TooManyRequests
from saaskit.web import problems

from app.accounts import passwords
from app.accounts.schemas import MailSent, PasswordResetRequest
from app.deps import Account

config = RouteConfig(public=True)


@operation(status_code=202, responses=problems(TooManyRequests))
async def post(form: PasswordResetRequest, account: Account) -> MailSent:
    """Request a link for a new password."""
    await passwords.request_reset(account, form)
    return MailSent()
