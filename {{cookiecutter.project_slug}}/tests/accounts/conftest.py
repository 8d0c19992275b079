"""Mails from a real SMTP server, and accounts as people make them."""

import asyncio
import email
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from email.message import EmailMessage
from email.policy import default
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiosmtpd.controller import Controller
from httpx2 import AsyncClient
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

import app.jobs.notices
from app.core.jobs.kinds import handlers, kinds
from app.models.events import Event
from app.models.jobs import JobRow
from app.settings import Settings


def unused_port() -> int:
    """Of this machine, free a moment ago."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    return unused_port()


class Post:
    """What the SMTP server took: each with its real recipients."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        message = email.message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        self.mails.append((envelope.rcpt_tos, message))
        return "250 OK"


@pytest.fixture(scope="session")
def smtp() -> Iterator[tuple[Post, str]]:
    """A server on a free port."""
    post = Post()
    port = unused_port()
    controller = Controller(post, hostname="127.0.0.1", port=port)
    controller.start()
    yield post, f"smtp://127.0.0.1:{port}"
    controller.stop()


class Mailbox:
    """Does the mail jobs that are waiting, as a worker would, and gives what arrived."""

    def __init__(self, db: AsyncSession, post: Post, settings: Settings) -> None:
        self.db, self.post, self.settings = db, post, settings

    async def __call__(self) -> list[tuple[list[str], EmailMessage]]:
        self.post.mails.clear()
        for row in (await self.db.scalars(select(JobRow).order_by(JobRow.id))).all():
            if row.queue == "mail":
                job = kinds[row.kind].model_validate(row.payload)
                await handlers[row.kind](job, MailRun(row.id, self.db))
        await self.db.execute(delete(JobRow))
        await self.db.commit()
        return list(self.post.mails)

    async def one(self) -> EmailMessage:
        """The only mail."""
        ((_, message),) = await self()
        return message

    async def token(self) -> str:
        """Of the link in the only mail, the same in text and HTML."""
        return token_in(await self.one())


class MailRun:
    """What a worker gives the handlers of mails."""

    def __init__(self, id, db: AsyncSession) -> None:  # noqa: A002
        self.id, self.db = id, db


def token_in(message: EmailMessage) -> str:
    """The token of the mail's link."""
    text, page = (message.get_body((kind,)) for kind in ("plain", "html"))
    assert text and page
    (url,) = re.findall(r"https?://\S+\?token=\S+", text.get_content())
    assert page.get_content().count(f'href="{url}"') == 1
    return parse_qs(urlsplit(url).query)["token"][0]


@pytest.fixture
def mailbox(
    db: AsyncSession, smtp: tuple[Post, str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Mailbox:
    """`await mailbox()` sends what is waiting and gives what arrived."""
    post, url = smtp
    configured = settings.model_copy(update={"smtp_url": url})
    monkeypatch.setattr(app.jobs.notices, "get_settings", lambda: configured)
    return Mailbox(db, post, configured)


@pytest.fixture
def events(db: AsyncSession) -> Callable[[], Awaitable[list[str]]]:
    """Kinds of the audit events so far."""

    async def kinds_so_far() -> list[str]:
        return list(await db.scalars(select(Event.kind).order_by(Event.id)))

    return kinds_so_far


@pytest.fixture
async def other(client: AsyncClient) -> AsyncIterator[AsyncClient]:
    """Another browser."""
    async with AsyncClient(
        transport=client._transport, base_url=client.base_url, headers=client.headers
    ) as browser:
        yield browser


async def both(*requests: Awaitable[Any]) -> list[Any]:
    """At the same time."""
    return list(await asyncio.gather(*requests))
