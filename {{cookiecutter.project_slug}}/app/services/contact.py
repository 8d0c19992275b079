"""The contact form."""

from datetime import UTC, datetime

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.jobs import enqueue
from app.core.mail import Mail
from app.core.work import Work
from app.models.contact import ContactMessage
from app.schemas.contact import ContactForm, ContactReceipt
from app.services import limits


async def receive(db: AsyncSession, work: Work, form: ContactForm) -> ContactReceipt:
    """Store the message and mail it to the team; TooManyRequests.

    A robot that filled the hidden field gets the same answer, and nothing is stored or sent.
    """
    await limits.form(work)
    now = datetime.now(UTC)
    if not form.website:
        values = form.model_dump(exclude={"website"})
        await db.execute(insert(ContactMessage).values(**values, received_at=now))
        subject, text = f"{form.name} wrote to us", f"{form.name} <{form.email}> wrote:\n\n{form.message}\n"
        await enqueue(db, Mail(subject=subject[:200].strip(), text=text, reply_to=form.email))
    return ContactReceipt(received_at=now)
