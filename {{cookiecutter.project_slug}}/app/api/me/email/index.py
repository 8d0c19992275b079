"""PUT /api/me/email: your e-mail address."""

from filerouter import operation
from saaskit.errors import Forbidden, TooManyRequests
from saaskit.web import problems

from app.accounts import email_change
from app.accounts.schemas import EmailChange, MailSent
from app.deps import Account, RecentUser


@operation(status_code=202, responses=problems(Forbidden, TooManyRequests))
async def put(form: EmailChange, user: RecentUser, account: Account) -> MailSent:
    """Change your e-mail address. Sends a confirmation link to the new one."""
    await email_change.request(account, user, form.email)
    return MailSent()
