"""Write and send the mails about accounts. Links are made here, so that none lies in the table of jobs."""

import asyncio

from app.core import mail
from app.core.jobs import Run, handles
from app.core.mail import Mail
from app.schemas.notices import EmailChangeNotice, Notice, ResetNotice, RevertNotice, SignUpNotice
from app.services import notices
from app.services.notices import Letter
from app.settings import get_settings


async def _send(run: Run, letter: Letter | None) -> None:
    # Now: a slow server must not keep the token's row locked. Should the mail fail, the retry makes another.
    await run.db.commit()
    if letter:
        settings = get_settings()
        written = Mail(to=letter.to, subject=letter.subject, text=letter.text, html=letter.html)
        message = mail.compose(written, run.id, settings)
        await asyncio.to_thread(mail.deliver, message, settings.smtp_url)


@handles(SignUpNotice)
async def answer_sign_up(job: SignUpNotice, run: Run) -> None:
    """A link, or a word that there is an account."""
    await _send(run, await notices.answer_sign_up(run.db, job, get_settings().origin))


@handles(ResetNotice)
async def answer_reset(job: ResetNotice, run: Run) -> None:
    """A link, if the address is known."""
    await _send(run, await notices.answer_reset(run.db, job, get_settings().origin))


@handles(EmailChangeNotice)
async def answer_email_change(job: EmailChangeNotice, run: Run) -> None:
    """A link, or a word to the address's owner."""
    await _send(run, await notices.answer_email_change(run.db, job, get_settings().origin))


@handles(RevertNotice)
async def offer_reversal(job: RevertNotice, run: Run) -> None:
    """The way back."""
    await _send(run, await notices.offer_reversal(run.db, job, get_settings().origin))


@handles(Notice)
async def send_notice(job: Notice, run: Run) -> None:
    """What happened."""
    await _send(run, notices.notice(job, get_settings().origin))
