"""The contact form."""

from datetime import UTC, datetime

from saaskit.jobs import enqueue
from saaskit.mail import SendEmail
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.contact.models import ContactMessage
from app.contact.schemas import ContactForm, ContactReceipt


async def receive(db: AsyncSession, form: ContactForm, *, team: str) -> ContactReceipt:
    """Store the message and send it to the address `team`.

    A bot that filled in the hidden field gets the same response, but nothing is stored or sent.
    """
    now = datetime.now(UTC)
    if not form.website:
        values = form.model_dump(exclude={"website"})
        await db.execute(insert(ContactMessage).values(**values, received_at=now))
        subject = f"Message from {form.name}"[:200].strip()
        text = f"{form.name} <{form.email}> wrote:\n\n{form.message}\n"
        await enqueue(db, SendEmail(to=team, subject=subject, text=text, reply_to=form.email))
    return ContactReceipt(received_at=now)
