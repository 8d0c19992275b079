"""Changing an account's e-mail address: the new mailbox confirms it, and the old one can revert it."""

from datetime import UTC, datetime

from saaskit.jobs import enqueue
from saaskit.web import ClientInfo
from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import audit, rate_limits, sessions, tokens
from app.accounts.context import AccountContext
from app.accounts.emails import EmailChangedEmail, EmailConfirmationEmail, PasswordResetEmail
from app.accounts.models import LinkedIdentity, Password, Token, User
from app.accounts.sessions import AuthenticatedUser


async def request(account: AccountContext, user: AuthenticatedUser, email: str) -> None:
    """Send a confirmation link to the new address. The response is the same if the address is taken."""
    await rate_limits.check_network(account, "email.throttled")
    allow_mail = await rate_limits.allow_mail(account, email)
    async with account.sessionmaker.begin() as db:
        await audit.record(db, "email.change_asked", account.client, user.id)
        if allow_mail:  # otherwise the link that was sent before stays valid
            await tokens.issue(db, "email", str(user.id), user_id=user.id, email=email)
            await enqueue(db, EmailConfirmationEmail(user_id=user.id, email=email))


async def confirm(db: AsyncSession, requester: AuthenticatedUser, token: str, client: ClientInfo) -> None:
    """Use the new address from now on, and tell the old one.

    Only the user who requested the change can confirm it. Otherwise an attacker could request a change to a
    victim's address, and the victim's click would verify that address for the attacker's account.
    """
    used = await tokens.consume(db, "email", token)
    user = await _get_user(db, used.user_id)
    if user.id != requester.id:
        raise tokens.invalid_link("email")
    old, user.email = user.email, used.data["email"]
    try:
        async with db.begin_nested():
            await db.flush()
    except IntegrityError as error:
        raise tokens.invalid_link("email") from error
    since = datetime.now(UTC).isoformat()
    await tokens.issue(db, "revert", f"{user.id}:{old}", user_id=user.id, email=old, since=since)
    await tokens.revoke(db, user.id, "reset")
    await audit.record(db, "email.changed", client, user.id)
    await enqueue(db, EmailChangedEmail(user_id=user.id, email=old))


async def revert(db: AsyncSession, token: str, client: ClientInfo) -> None:
    """Return the account to the old address: end all sessions and remove what was added since the change.

    After several changes each old address has its own link, and an earlier one overrules the later ones.
    """
    used = await tokens.consume(db, "revert", token)
    user = await _get_user(db, used.user_id)
    # The password first: a concurrent password change locks it before it writes to the user.
    await db.execute(delete(Password).where(Password.user_id == user.id))
    await db.execute(update(User).where(User.id == user.id).values(email=used.data["email"], delete_at=None))
    since = used.data["since"]
    added = LinkedIdentity.linked_at >= datetime.fromisoformat(since)
    await db.execute(delete(LinkedIdentity).where(LinkedIdentity.user_id == user.id, added))
    later = Token.data["since"].astext >= since
    await db.execute(delete(Token).where(Token.user_id == user.id, Token.purpose == "revert", later))
    await sessions.end_all(db, user.id)
    await tokens.revoke(db, user.id, "reset", "email")
    await audit.record(db, "email.reverted", client, user.id)
    await enqueue(db, PasswordResetEmail(email=used.data["email"]))


async def _get_user(db: AsyncSession, user_id: int | None) -> User:
    user = await db.get(User, user_id) if user_id else None
    if user is None or user.disabled_at:
        raise tokens.invalid_link("email")
    return user
