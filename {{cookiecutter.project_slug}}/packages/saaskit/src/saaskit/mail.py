"""E-mail: a job that the caller enqueues in its transaction, and delivery by SMTP, which only workers do.

    await enqueue(db, SendEmail(to=user.email, subject="Welcome", text="…"))

An e-mail is delivered at least once. Its Message-ID is made from the job's id, so that mail servers and
clients recognize a second copy.
"""

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, parseaddr
from typing import Annotated
from urllib.parse import unquote, urlsplit
from uuid import UUID

from pydantic import StringConstraints

from saaskit.jobs import Job, JobContext, handler
from saaskit.types import Email, SingleLine, Text

__all__ = ["SendEmail", "compose_message", "deliver"]

TIMEOUT_SECONDS = 20


class SendEmail(Job, kind="mail", queue="mail", max_attempts=10, backoff=10, time_limit=120):
    """An e-mail in plain text, with an optional HTML version."""

    to: Email
    subject: SingleLine
    text: Annotated[Text, StringConstraints(max_length=20_000)]
    html: Annotated[Text, StringConstraints(max_length=40_000)] | None = None
    reply_to: Email | None = None


@handler(SendEmail)
def send_email(job: SendEmail, context: JobContext) -> None:
    """Deliver the e-mail to SMTP_URL. `def`, because smtplib blocks."""
    settings = context.settings
    deliver(compose_message(job, context.id, settings.mail_from), settings.smtp_url)


def compose_message(email: SendEmail, job_id: UUID, sender: str) -> EmailMessage:
    """Return the message. The same job id always gives the same Message-ID."""
    message = EmailMessage()
    message["Subject"] = email.subject
    message["From"] = sender
    message["To"] = email.to
    if email.reply_to:
        message["Reply-To"] = email.reply_to
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{job_id}@{parseaddr(sender)[1].rpartition('@')[2]}>"
    message.set_content(email.text)
    if email.html:
        message.add_alternative(email.html, subtype="html")
    return message


def deliver(message: EmailMessage, smtp_url: str) -> None:
    """Send the message; raises OSError, which includes SMTPException, if the server does not accept it.

    `smtps://` uses TLS from the first byte. `smtp://` uses STARTTLS if the server offers it, and requires
    it if the URL has a password. Certificates are always verified.
    """
    if not smtp_url:
        raise OSError("SMTP_URL is not set, so e-mail cannot be sent.")
    url, context = urlsplit(smtp_url), ssl.create_default_context()
    host = url.hostname or "localhost"
    if url.scheme == "smtps":
        connection = smtplib.SMTP_SSL(host, url.port or 465, timeout=TIMEOUT_SECONDS, context=context)
    else:
        connection = smtplib.SMTP(host, url.port or 587, timeout=TIMEOUT_SECONDS)
    with connection:
        if url.scheme == "smtp":
            connection.ehlo_or_helo_if_needed()  # only after EHLO does smtplib know the extensions
            if connection.has_extn("starttls"):
                connection.starttls(context=context)
            elif url.password:  # perhaps because an attacker removed the offer
                raise OSError(f"{host} does not offer STARTTLS, so the password is not sent.")
        if url.username:
            connection.login(unquote(url.username), unquote(url.password or ""))
        connection.send_message(message)
