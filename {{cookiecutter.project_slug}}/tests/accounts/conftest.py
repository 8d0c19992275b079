"""Fixtures for account tests, with a real SMTP server for e-mails."""

import email
import re
import socket
from collections.abc import Awaitable, Callable, Iterator
from email.message import EmailMessage
from email.policy import default
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from aiosmtpd.controller import Controller
from saaskit.jobs import JobContext, JobRecord
from saaskit.jobs.job import handlers, job_classes
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.models import Event
from app.settings import Settings
from tests.conftest import Browser, NewClient


def unused_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    """A port on which nothing listens."""
    return unused_port()


class SMTPHandler:
    """Keeps what the SMTP server receives: recipients and message."""

    def __init__(self) -> None:
        self.received: list[tuple[list[str], EmailMessage]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        message = email.message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        self.received.append((envelope.rcpt_tos, message))
        return "250 OK"


@pytest.fixture(scope="session")
def smtp() -> Iterator[tuple[SMTPHandler, str]]:
    """An SMTP server and its URL."""
    handler, port = SMTPHandler(), unused_port()
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield handler, f"smtp://127.0.0.1:{port}"
    controller.stop()


def job_context(db: AsyncSession, settings: Settings, job_id: UUID) -> JobContext:
    """The parts of a job's context that e-mail handlers use."""
    return cast("JobContext", SimpleNamespace(id=job_id, db=db, settings=settings))


async def run_job(db: AsyncSession, settings: Settings, row: JobRecord) -> None:
    """Run a job's handler, as a worker does."""
    job = job_classes[row.kind].model_validate(row.payload)
    await handlers[row.kind](job, job_context(db, settings, row.id))


class Mailbox:
    """Runs the waiting e-mail jobs: `await mailbox()` returns the e-mails that arrived."""

    def __init__(self, db: AsyncSession, handler: SMTPHandler, settings: Settings) -> None:
        self.db, self.handler, self.settings = db, handler, settings

    async def __call__(self) -> list[tuple[list[str], EmailMessage]]:
        self.handler.received.clear()
        for row in (await self.db.scalars(select(JobRecord).order_by(JobRecord.id))).all():
            if row.queue == "mail":
                await run_job(self.db, self.settings, row)
        await self.db.execute(delete(JobRecord))
        await self.db.commit()
        return list(self.handler.received)

    async def one(self) -> EmailMessage:
        """Return the only e-mail."""
        ((_, message),) = await self()
        return message

    async def token(self) -> str:
        """Return the token of the link in the only e-mail."""
        return token_in(await self.one())


def token_in(message: EmailMessage) -> str:
    """Return the token of the e-mail's link, which must be the same in text and HTML."""
    text, page = (message.get_body((kind,)) for kind in ("plain", "html"))
    assert text and page
    (url,) = re.findall(r"https?://\S+\?token=\S+", text.get_content())
    assert page.get_content().count(f'href="{url}"') == 1
    return parse_qs(urlsplit(url).query)["token"][0]


def logged_by_the_application(caplog: pytest.LogCaptureFixture) -> str:
    """Return the log lines of the product and the platform, without those of test servers and clients."""
    ours = [record for record in caplog.records if record.name.startswith(("app.", "saaskit."))]
    return "\n".join(record.getMessage() for record in ours)


@pytest.fixture
def mailbox(db: AsyncSession, smtp: tuple[SMTPHandler, str], settings: Settings) -> Mailbox:
    handler, url = smtp
    return Mailbox(db, handler, settings.model_copy(update={"smtp_url": url}))


@pytest.fixture
def events(db: AsyncSession) -> Callable[[], Awaitable[list[str]]]:
    """Return the kinds of the audit events so far."""

    async def kinds() -> list[str]:
        return list(await db.scalars(select(Event.kind).order_by(Event.id)))

    return kinds


@pytest.fixture
async def other(new_client: NewClient, client: Browser) -> Browser:
    """Another browser in the same network as `client`."""
    return new_client(ip=client.ip)
