"""Mail: a job that services enqueue in their transaction, and SMTP, which only workers speak.

Delivered at least once: the Message-ID is made from the job's id, so that a second copy is
recognised as one.
"""

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from typing import Annotated
from urllib.parse import unquote, urlsplit
from uuid import UUID

from pydantic import StringConstraints

from app.core.jobs import Job
from app.core.types import Email, Line, Text
from app.settings import Settings

SECONDS = 20


class Mail(Job, kind="mail", queue="mail", max_attempts=10, backoff=10, time_limit=120):
    """A mail in plain text, and in HTML if that is given; to the team if nobody else is named."""

    subject: Line
    text: Annotated[Text, StringConstraints(max_length=20_000)]
    html: Annotated[Text, StringConstraints(max_length=40_000)] | None = None
    to: Email | None = None
    reply_to: Email | None = None


def compose(mail: Mail, id: UUID, settings: Settings) -> EmailMessage:
    """The message, with an id that stays the same when it is sent again."""
    message = EmailMessage()
    message["Subject"] = mail.subject
    message["From"] = settings.mail_from
    message["To"] = mail.to or settings.contact_to
    if mail.reply_to:
        message["Reply-To"] = mail.reply_to
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{id}@{settings.mail_from.rpartition('@')[2]}>"
    message.set_content(mail.text)
    if mail.html:
        message.add_alternative(mail.html, subtype="html")
    return message


def deliver(message: EmailMessage, url: str) -> None:
    """Hand the message to the server at `url`; raises OSError or SMTPException if it does not take it."""
    if not url:
        raise OSError("SMTP_URL is not set: there is no server to hand mail to.")
    server = urlsplit(url)
    host, context = server.hostname or "localhost", ssl.create_default_context()
    if server.scheme == "smtps":
        connection = smtplib.SMTP_SSL(host, server.port or 465, timeout=SECONDS, context=context)
    else:
        connection = smtplib.SMTP(host, server.port or 587, timeout=SECONDS)
    with connection:
        safe = server.scheme == "smtps" or host in ("localhost", "127.0.0.1", "::1")
        if server.scheme == "smtp" and connection.has_extn("starttls"):
            connection.starttls(context=context)
            safe = True
        if server.username:
            if not safe:  # somebody between us may have taken the offer away
                raise OSError(f"{host} offers no TLS, so it gets no password.")
            connection.login(unquote(server.username), unquote(server.password or ""))
        connection.send_message(message)
