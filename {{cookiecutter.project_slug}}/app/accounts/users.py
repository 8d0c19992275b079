"""User accounts: create, update, delete."""

from datetime import UTC, datetime, timedelta

from saaskit.jobs import enqueue
from saaskit.web import ClientInfo
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import audit, schemas, sessions
from app.accounts.emails import NoticeEmail
from app.accounts.models import LinkedIdentity, OAuthFlow, Password, Session, Token, User
from app.accounts.sessions import AuthenticatedUser

GRACE_PERIOD = timedelta(days=14)
"""The time between requesting an account's deletion and the deletion."""
ERASED_EMAIL = "erased-{}@erased.invalid"


async def add(db: AsyncSession, email: str, name: str) -> User | None:
    """Create a user with a verified address; None if the address is taken."""
    row = insert(User).values(email=email, name=name).on_conflict_do_nothing().returning(User)
    return await db.scalar(row)


async def update_profile(
    db: AsyncSession, user: AuthenticatedUser, changes: schemas.UserUpdate, client: ClientInfo
) -> schemas.User:
    """Change the given fields."""
    row = update(User).where(User.id == user.id).values(changes.model_dump()).returning(User)
    await audit.record(db, "user.changed", client, user.id, fields=sorted(changes.model_fields_set))
    return schemas.User.model_validate(await db.scalar(row))


async def schedule_deletion(db: AsyncSession, user: AuthenticatedUser, client: ClientInfo) -> schemas.User:
    """Schedule the account's deletion in two weeks, and end all other sessions."""
    delete_at = datetime.now(UTC) + GRACE_PERIOD
    row = await db.scalar(update(User).where(User.id == user.id).values(delete_at=delete_at).returning(User))
    await sessions.end_others(db, user, client)
    await audit.record(db, "user.deletion_planned", client, user.id)
    values = {"day": f"{delete_at:%Y-%m-%d}"}
    await enqueue(db, NoticeEmail(template="deletion_planned", email=user.email, values=values))
    return schemas.User.model_validate(row)


async def cancel_deletion(db: AsyncSession, user: AuthenticatedUser, client: ClientInfo) -> schemas.User:
    """Cancel the account's deletion."""
    row = await db.scalar(update(User).where(User.id == user.id).values(delete_at=None).returning(User))
    if user.delete_at:
        await audit.record(db, "user.deletion_cancelled", client, user.id)
        await enqueue(db, NoticeEmail(template="deletion_cancelled", email=user.email))
    return schemas.User.model_validate(row)


async def erase_due(db: AsyncSession) -> int:
    """Erase up to 100 accounts whose grace period has expired. Returns the number of erased accounts.

    The row stays without personal data, because orders and audit events refer to it.
    """
    due = select(User).where(User.delete_at <= func.now()).with_for_update(skip_locked=True).limit(100)
    users = (await db.scalars(due)).all()
    for user in users:
        await enqueue(db, NoticeEmail(template="account_erased", email=user.email))
        user.email, user.name = ERASED_EMAIL.format(user.id), "Deleted user"
        user.delete_at, user.disabled_at = None, func.now()
        await db.execute(delete(Password).where(Password.user_id == user.id))
        await db.execute(delete(LinkedIdentity).where(LinkedIdentity.user_id == user.id))
        await db.execute(delete(Token).where(Token.user_id == user.id))
        await sessions.end_all(db, user.id)
        await audit.record(db, "user.erased", ClientInfo("", "", None), user.id)
    await db.flush()
    return len(users)


async def delete_expired(db: AsyncSession) -> int:
    """Delete expired tokens, sessions and OAuth flows. Returns the number of deleted rows."""
    expired = (
        delete(Token).where(Token.expires_at < func.now()),
        delete(Session).where(Session.expires_at < func.now()),
        delete(OAuthFlow).where(OAuthFlow.created_at < func.now() - timedelta(hours=1)),
    )
    return sum([(await db.execute(statement)).rowcount for statement in expired])  # type: ignore[attr-defined]
