"""Changing an account's address: confirmed by the new mailbox, told to the old one, with a way back."""

from datetime import UTC, datetime

from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.client import Client
from app.core.work import Work
from app.models.identities import LinkedIdentity
from app.models.passwords import Password
from app.models.tokens import Token
from app.models.users import User
from app.schemas.notices import EmailChangeNotice, ResetNotice, RevertNotice
from app.services import events, limits, notices, sessions, tokens
from app.services.sessions import SignedIn


async def ask(work: Work, user: SignedIn, email: str) -> None:
    """Send a link to the new address. The same answer whether it is free or not."""
    await limits.client(work, "email.throttled")
    may_mail = await limits.may_mail(work, email)
    async with work.transaction() as db:
        await events.record(db, "email.change_asked", work.client, user.id)
        if may_mail:  # else the link that was mailed before goes on
            await tokens.issue(db, "email", str(user.id), user_id=user.id, email=email)
            await notices.tell(db, EmailChangeNotice(user_id=user.id, email=email))


async def confirm(db: AsyncSession, asker: SignedIn, token: str, client: Client) -> None:
    """The new mailbox has the link: mail goes there from now on, and the old address learns of it.

    Only who asked can use it. Else somebody would ask for another's address, who would press the
    button in good faith, and so prove that address for an account that is not theirs.
    """
    used = await tokens.consume(db, "email", token)
    user = await _user(db, used.user_id)
    if user.id != asker.id:
        raise tokens.no_longer_valid("email")
    old, user.email = user.email, used.data["email"]
    try:
        async with db.begin_nested():
            await db.flush()
    except IntegrityError as taken:
        raise tokens.no_longer_valid("email") from taken
    since = datetime.now(UTC).isoformat()
    await tokens.issue(db, "revert", f"{user.id}:{old}", user_id=user.id, email=old, since=since)
    await tokens.revoke(db, user.id, "reset")
    await events.record(db, "email.changed", client, user.id)
    await notices.tell(db, RevertNotice(user_id=user.id, email=old))


async def revert(db: AsyncSession, token: str, client: Client) -> None:
    """The old mailbox takes the account back: everybody is out, and what opened it since then is gone.

    Of several changes each has its own way back, and an earlier one outranks the later ones.
    """
    used = await tokens.consume(db, "revert", token)
    user = await _user(db, used.user_id)
    # The password first: whoever is changing it holds it before they write to the user.
    await db.execute(delete(Password).where(Password.user_id == user.id))
    back = update(User).where(User.id == user.id).values(email=used.data["email"], delete_at=None)
    await db.execute(back)
    since = used.data["since"]
    linked = LinkedIdentity.linked_at >= datetime.fromisoformat(since)
    await db.execute(delete(LinkedIdentity).where(LinkedIdentity.user_id == user.id, linked))
    later = Token.data["since"].astext >= since
    await db.execute(delete(Token).where(Token.user_id == user.id, Token.purpose == "revert", later))
    await sessions.end_all(db, user.id)
    await tokens.revoke(
        db,
        user.id,
        "reset",
        "email",
    )
    await events.record(db, "email.reverted", client, user.id)
    await notices.tell(db, ResetNotice(email=used.data["email"]))


async def _user(db: AsyncSession, user_id: int | None) -> User:
    user = await db.get(User, user_id) if user_id else None
    if user is None or user.disabled_at:
        raise tokens.no_longer_valid("email")
    return user
