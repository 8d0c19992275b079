"""Mails about accounts: asked for in a transaction, written and sent by a worker."""

from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import urlencode

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import jobs
from app.models.tokens import Token
from app.models.users import User
from app.schemas.notices import EmailChangeNotice, Notice, ResetNotice, RevertNotice, SignUpNotice
from app.services import tokens

FOLDER = Path(__file__).parent.parent / "emails"
PAGES = {
    "confirm_sign_up": "/api/users/confirmation",
    "password_forgotten": "/api/password-reset/confirmation",
    "confirm_email": "/api/me/email/confirmation",
    "email_changed": "/api/me/email/reversal",
}


@dataclass(frozen=True)
class Letter:
    """A mail, written."""

    to: str
    subject: str
    text: str
    html: str


async def tell(db: AsyncSession, job: jobs.Job) -> None:
    """Send the mail if this transaction commits."""
    await jobs.enqueue(db, job)


async def answer_sign_up(db: AsyncSession, job: SignUpNotice, public_url: str) -> Letter | None:
    """A link for somebody new; somebody with an account is told so."""
    if await db.scalar(select(User.id).where(User.email == job.email)):
        await db.execute(delete(Token).where(Token.purpose == "sign_up", Token.subject == job.subject))
        return write("account_exists", job.email, public_url)
    token = await tokens.renew(db, "sign_up", job.subject)
    return write("confirm_sign_up", job.email, public_url, token) if token else None


async def answer_reset(db: AsyncSession, job: ResetNotice, public_url: str) -> Letter | None:
    """A link, to the stored address of an account that is not disabled; else nothing."""
    known = select(User).where(User.email == job.email, User.disabled_at.is_(None))
    user = await db.scalar(known)
    if user is None:
        return None
    token = await tokens.issue(db, "reset", str(user.id), user_id=user.id)
    return write("password_forgotten", user.email, public_url, token)


async def answer_email_change(db: AsyncSession, job: EmailChangeNotice, public_url: str) -> Letter | None:
    """A link to the new address; if that has an account, a word to its owner."""
    if await db.scalar(select(User.id).where(User.email == job.email)):
        return write("account_exists", job.email, public_url)
    token = await tokens.renew(db, "email", str(job.user_id))
    return write("confirm_email", job.email, public_url, token) if token else None


async def offer_reversal(db: AsyncSession, job: RevertNotice, public_url: str) -> Letter | None:
    """The way back, to the address that was replaced."""
    token = await tokens.renew(db, "revert", f"{job.user_id}:{job.email}")
    return write("email_changed", job.email, public_url, token) if token else None


def write(name: str, to: str, public_url: str, token: str | None = None, **facts: str) -> Letter:
    """Fill `emails/<name>.txt`; the HTML part is the same text, escaped, its link a real one."""
    link = f"{public_url}{PAGES[name]}?{urlencode({'token': token})}" if token else ""
    head, _, body = FOLDER.joinpath(f"{name}.txt").read_text(encoding="utf-8").partition("\n\n")
    text = Template(body).substitute(
        facts, link=link, site=public_url, at=f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"
    )
    subject = Template(head.removeprefix("Subject: ")).substitute(facts)
    return Letter(to, subject, text, _html(text, link, public_url))


def _html(text: str, link: str, site: str) -> str:
    frame = FOLDER.joinpath("frame.html").read_text(encoding="utf-8")
    paragraphs = []
    for paragraph in text.strip().split("\n\n"):
        inner = escape(paragraph).replace("\n", "<br>")
        for url in filter(None, (link,)):
            inner = inner.replace(escape(url), f'<a href="{escape(url)}">{escape(url)}</a>')
        paragraphs.append(f"<p>{inner}</p>")
    return Template(frame).substitute(body="\n".join(paragraphs), site=escape(site))


def notice(job: Notice, public_url: str) -> Letter:
    """A mail that needs no link."""
    return write(job.kind, job.email, public_url, **job.facts)
