"""The contact form."""

from datetime import UTC, datetime

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.contact import ContactMessage
from app.schemas.contact import ContactForm, ContactReceipt


async def receive(db: AsyncSession, form: ContactForm) -> ContactReceipt:
    """Store the message. A robot that filled the hidden field gets the same answer, and nothing is stored."""
    now = datetime.now(UTC)
    if not form.website:
        values = form.model_dump(exclude={"website"})
        await db.execute(insert(ContactMessage).values(**values, received_at=now))
    return ContactReceipt(received_at=now)
