"""Mail goes out as a job, over SMTP, at least once and recognisable as one."""

from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from uuid import UUID

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from app.core.mail import Mail, compose, deliver
from app.settings import Settings
from tests.jobs.plant import Plant, eventually

pytestmark = pytest.mark.slow


class Inbox:
    """Refuses the first `refuse` mails, keeps the others."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refuse = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.refuse:
            self.refuse -= 1
            return "451 Try again later"
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"


@pytest.fixture
async def inbox(idle: Plant, unused_tcp_port: int) -> AsyncIterator[Inbox]:
    """A mail server, and a worker that knows it."""
    inbox = Inbox()
    server = Controller(inbox, hostname="127.0.0.1", port=unused_tcp_port)
    server.start()
    idle.relay()
    idle.worker(SMTP_URL=f"smtp://127.0.0.1:{unused_tcp_port}", MAIL_FROM="app@example.com")
    yield inbox
    server.stop()


async def test_a_mail_is_delivered_with_the_jobs_id_as_its_name(idle: Plant, inbox: Inbox):
    text = "Grüße\n\nfrom <b>Oslo</b>"
    job = await idle.ask(
        Mail(to="ada@example.com", subject="Schön, Ω", text=text, reply_to="eve@example.com")
    )
    await idle.until(job, "succeeded")
    (got,) = inbox.mails
    assert (got["to"], got["from"], got["reply-to"]) == (
        "ada@example.com",
        "app@example.com",
        "eve@example.com",
    )
    assert got["subject"] == "Schön, Ω"
    assert got["message-id"] == f"<{job}@example.com>"
    body = got.get_body(("plain",))
    assert body
    assert body.get_content().replace("\r", "").strip() == text


async def test_a_server_that_refuses_is_asked_again(idle: Plant, inbox: Inbox):
    inbox.refuse = 1
    job = await idle.ask(Mail(subject="To the team", text="Hello"))

    async def failed() -> bool:
        return (await idle.row(job)).error is not None

    await eventually(failed)
    row = await idle.row(job)
    assert (row.state, row.error and row.error["type"]) == ("queued", "SMTPDataError")
    await idle.until(job, "succeeded")
    (mail,) = inbox.mails
    assert mail["to"] == "team@localhost"


@pytest.mark.parametrize("subject", ["a\r\nBcc: eve@example.com", "a\nb", ""])
def test_a_subject_is_one_line(subject: str):
    with pytest.raises(ValueError, match="subject"):
        Mail(subject=subject, text="x")


def test_a_password_is_not_sent_in_the_clear(unused_tcp_port: int):
    """To another machine without TLS, or whose offer somebody took away. (`127.1` counts as one.)"""
    inbox = Inbox()
    server = Controller(inbox, hostname="127.0.0.1", port=unused_tcp_port)
    server.start()
    try:
        mail = Mail(to="ada@example.com", subject="x", text="x")
        message = compose(mail, UUID(int=1), Settings(environment="test"))
        with pytest.raises(OSError, match="offers no TLS"):
            deliver(message, f"smtp://app:secret@127.1:{unused_tcp_port}")
        deliver(message, f"smtp://127.1:{unused_tcp_port}")
    finally:
        server.stop()
    assert len(inbox.mails) == 1
