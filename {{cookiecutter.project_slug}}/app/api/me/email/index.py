"""PUT /api/me/email."""

from app.core.errors import Forbidden, TooManyRequests
from app.core.problems import problems
from app.deps import FreshUser, Work
from app.schemas.emails import EmailChange
from app.schemas.users import MailSent
from app.services import emails
from filerouter import operation


@operation(status_code=202, responses=problems(Forbidden, TooManyRequests))
async def put(form: EmailChange, user: FreshUser, work: Work) -> MailSent:
    """Change your address: the new one gets a link that confirms it."""
    await emails.ask(work, user, form.email)
    return MailSent()
