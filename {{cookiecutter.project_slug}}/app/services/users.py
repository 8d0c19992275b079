"""Accounts: made, changed, deleted."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.client import Client
from app.models.identities import LinkedIdentity
from app.models.passwords import Password
from app.models.tokens import Token
from app.models.users import User as Row
from app.schemas.notices import Notice
from app.schemas.users import User, UserChange
from app.services import events, notices, sessions
from app.services.sessions import SignedIn

GRACE = timedelta(days=14)
"""Between asking for the deletion of an account and the deletion."""
ERASED = "erased-{}@erased.invalid"


async def add(db: AsyncSession, email: str, name: str) -> Row | None:
    """A user whose address is proved; None if somebody has it."""
    new = insert(Row).values(email=email, name=name).on_conflict_do_nothing().returning(Row)
    return await db.scalar(new)


async def change(db: AsyncSession, user: SignedIn, changes: UserChange, client: Client) -> User:
    """Change the named fields."""
    changed = update(Row).where(Row.id == user.id).values(changes.model_dump()).returning(Row)
    await events.record(db, "user.changed", client, user.id, fields=sorted(changes.model_fields_set))
    return User.model_validate(await db.scalar(changed))


async def plan_deletion(db: AsyncSession, user: SignedIn, client: Client) -> User:
    """Erase the account in two weeks, unless its owner cancels that; ends all other sessions."""
    day = datetime.now(UTC) + GRACE
    planned = update(Row).where(Row.id == user.id).values(delete_at=day).returning(Row)
    row = await db.scalar(planned)
    await sessions.end_others(db, user, client)
    await events.record(db, "user.deletion_planned", client, user.id)
    facts = {"day": f"{day:%Y-%m-%d}"}
    await notices.tell(db, Notice(kind="deletion_planned", email=user.email, facts=facts))
    return User.model_validate(row)


async def cancel_deletion(db: AsyncSession, user: SignedIn, client: Client) -> User:
    """Keep the account."""
    kept = update(Row).where(Row.id == user.id).values(delete_at=None).returning(Row)
    row = await db.scalar(kept)
    if user.delete_at:
        await events.record(db, "user.deletion_cancelled", client, user.id)
        await notices.tell(db, Notice(kind="deletion_cancelled", email=user.email))
    return User.model_validate(row)


async def erase_due(db: AsyncSession) -> int:
    """Erase the accounts whose time has come; how many.

    The row stays, without a person in it: orders and events go on pointing at somebody.
    """
    due = select(Row).where(Row.delete_at <= func.now()).with_for_update(skip_locked=True).limit(100)
    users = (await db.scalars(due)).all()
    for user in users:
        await notices.tell(db, Notice(kind="account_erased", email=user.email))
        user.email, user.name = ERASED.format(user.id), "Deleted user"
        user.delete_at, user.disabled_at = None, func.now()
        await db.execute(delete(Password).where(Password.user_id == user.id))
        await db.execute(delete(LinkedIdentity).where(LinkedIdentity.user_id == user.id))
        await db.execute(delete(Token).where(Token.user_id == user.id))
        await sessions.end_all(db, user.id)
        await events.record(db, "user.erased", Client("", "", None), user.id)
    await db.flush()
    return len(users)
