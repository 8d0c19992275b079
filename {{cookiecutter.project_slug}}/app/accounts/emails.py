"""The e-mails of accounts: jobs that services enqueue in their transaction and a worker renders and sends.

Jobs contain no tokens. The worker creates a link's token when it renders the e-mail, so that no valid token
is stored in the table of jobs.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode

from pydantic import Field
from saaskit.jobs import Job, JobContext, handler
from saaskit.mail import SendEmail, compose_message, deliver
from saaskit.settings import Settings
from saaskit.types import AccountEmail
from saaskit.web import Templates
from sqlalchemy import delete, select

from app.accounts import tokens
from app.accounts.models import Token, User

_templates = Templates(Path(__file__).parent / "emails")
LINKS = {
    "confirm_sign_up": "/api/users/confirmation",
    "reset_password": "/api/password-reset/confirmation",
    "confirm_email": "/api/me/email/confirmation",
    "email_changed": "/api/me/email/reversal",
}
"""The path that the link in an e-mail leads to."""


class SignUpEmail(Job, queue="mail", max_attempts=10, backoff=10, time_limit=120):
    """Sends the link that confirms a sign-up, or says that the account exists already."""

    email: AccountEmail
    subject: str
    """The subject of the sign-up's token."""


class PasswordResetEmail(Job, queue="mail", max_attempts=10, backoff=10, time_limit=120):
    """Sends a link for a new password, if the address has an account."""

    email: AccountEmail


class EmailConfirmationEmail(Job, queue="mail", max_attempts=10, backoff=10, time_limit=120):
    """Sends the link that confirms a new address, or tells its owner that it is in use already."""

    user_id: int
    email: AccountEmail


class EmailChangedEmail(Job, queue="mail", max_attempts=10, backoff=10, time_limit=120):
    """Tells the previous address about the change, with a link that reverts it."""

    user_id: int
    email: AccountEmail


class NoticeEmail(Job, queue="mail", max_attempts=10, backoff=10, time_limit=120):
    """Informs a user about a change to their account. It contains no link and no secret."""

    template: Literal[
        "password_changed",
        "new_device",
        "identity_linked",
        "identity_unlinked",
        "deletion_planned",
        "deletion_cancelled",
        "account_erased",
    ]
    email: AccountEmail
    values: dict[str, str] = Field(default_factory=dict)
    """Values for the template."""


@handler(SignUpEmail)
async def send_sign_up_email(job: SignUpEmail, context: JobContext) -> None:
    """Send the confirmation link, or a note that the account exists."""
    db, email = context.db, None
    if await db.scalar(select(User.id).where(User.email == job.email)):
        await db.execute(delete(Token).where(Token.purpose == "sign_up", Token.subject == job.subject))
        email = render("account_exists", job.email, context.settings)
    elif token := await tokens.reissue(db, "sign_up", job.subject):
        email = render("confirm_sign_up", job.email, context.settings, token)
    await _send(context, email)


@handler(PasswordResetEmail)
async def send_password_reset_email(job: PasswordResetEmail, context: JobContext) -> None:
    """Send a link to the stored address of an account that is not disabled."""
    user = await context.db.scalar(select(User).where(User.email == job.email, User.disabled_at.is_(None)))
    email = None
    if user:
        token = await tokens.issue(context.db, "reset", str(user.id), user_id=user.id)
        email = render("reset_password", user.email, context.settings, token)
    await _send(context, email)


@handler(EmailConfirmationEmail)
async def send_email_confirmation(job: EmailConfirmationEmail, context: JobContext) -> None:
    """Send a link to the new address, or a note to the account that has it."""
    email = None
    if await context.db.scalar(select(User.id).where(User.email == job.email)):
        email = render("account_exists", job.email, context.settings)
    elif token := await tokens.reissue(context.db, "email", str(job.user_id)):
        email = render("confirm_email", job.email, context.settings, token)
    await _send(context, email)


@handler(EmailChangedEmail)
async def send_email_changed(job: EmailChangedEmail, context: JobContext) -> None:
    """Send the link that reverts the change."""
    token = await tokens.reissue(context.db, "revert", f"{job.user_id}:{job.email}")
    await _send(context, render("email_changed", job.email, context.settings, token) if token else None)


@handler(NoticeEmail)
async def send_notice(job: NoticeEmail, context: JobContext) -> None:
    """Send the notice."""
    await _send(context, render(job.template, job.email, context.settings, **job.values))


@dataclass(frozen=True)
class RenderedEmail:
    """An e-mail, ready to be sent."""

    to: str
    subject: str
    text: str
    html: str


def render(
    template: str, to: str, settings: Settings, token: str | None = None, **values: str
) -> RenderedEmail:
    """Render `emails/<template>.txt`. Its first line is the subject; the HTML part has the same text."""
    link = f"{settings.origin}{LINKS[template]}?{urlencode({'token': token})}" if token else ""
    values |= {
        "product_name": settings.product_name,
        "site": settings.origin,
        "link": link,
        "now": f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}",
    }
    subject, _, text = _templates.render(f"{template}.txt", **values).partition("\n\n")
    html = _templates.render("layout.html", paragraphs=text.strip().split("\n\n"), **values)
    return RenderedEmail(to, subject.removeprefix("Subject: "), text, html)


async def _send(context: JobContext, email: RenderedEmail | None) -> None:
    # Commit first: a slow mail server must not keep the token's row locked. A retry issues a new token.
    await context.db.commit()
    if email:
        fields = SendEmail(to=email.to, subject=email.subject, text=email.text, html=email.html)
        message = compose_message(fields, context.id, context.settings.mail_from)
        await asyncio.to_thread(deliver, message, context.settings.smtp_url)
