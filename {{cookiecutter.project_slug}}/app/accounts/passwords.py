"""Changing a password, and resetting a forgotten one."""

from saaskit.errors import Unauthorized, Unprocessable
from saaskit.jobs import enqueue
from saaskit.security import check_new_password, hash_password, verify_password
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import audit, rate_limits, sessions, tokens
from app.accounts.browser import Device, NewSession
from app.accounts.context import AccountContext
from app.accounts.emails import NoticeEmail, PasswordResetEmail
from app.accounts.models import Password, User
from app.accounts.schemas import PasswordChange, PasswordReset, PasswordResetRequest
from app.accounts.sessions import AuthenticatedUser
from app.accounts.sign_in import lock_password


async def change(
    account: AccountContext, user: AuthenticatedUser, form: PasswordChange, device_cookie: str | None
) -> NewSession:
    """Set a new password if the current one is correct.

    All sessions end and all devices are forgotten; this browser gets a new session.
    """
    await rate_limits.check_network(account, "password.throttled")
    await rate_limits.check_password_attempt(account, user.email, None)
    async with account.sessionmaker.begin() as db:
        row = select(Password.hash, Password.changed_at).where(Password.user_id == user.id)
        stored, changed_at = (await db.execute(row)).one_or_none() or (None, None)
    correct, _ = await verify_password(form.current.get_secret_value(), stored)
    wrong = Unprocessable("This is not your current password.", event="password.refused", user_id=user.id)
    if not correct:
        raise wrong
    await rate_limits.reset_after_success(account, user.email, None)
    new_hash = await _hash(account, form.new.get_secret_value(), user.email, user.name, field="new")
    async with account.sessionmaker.begin() as db:
        if not await lock_password(db, user.id, changed_at):
            raise wrong
        if not await sessions.is_active(db, user):
            raise Unauthorized("Sign in first.")
        await _store(db, account, user.id, user.email, new_hash)
        token = await sessions.start(db, user.id, account.client, methods=["pwd"])
        row = await db.get_one(User, user.id)
        device = Device(device_cookie, account.settings).cookie_with(row.id, row.device_epoch)
        return NewSession(token=token, device=device, max_age=None)


async def request_reset(account: AccountContext, form: PasswordResetRequest) -> None:
    """Send a link for a new password. The worker looks up the account, so the response reveals nothing."""
    await rate_limits.check_network(account, "reset.throttled")
    if await rate_limits.allow_mail(account, form.email):
        async with account.sessionmaker.begin() as db:
            await audit.record(db, "reset.asked", account.client, None)
            await enqueue(db, PasswordResetEmail(email=form.email))


async def reset(account: AccountContext, form: PasswordReset) -> None:
    """Set a new password with the e-mailed token. Ends all sessions and starts none."""
    await rate_limits.check_network(account, "reset.throttled")
    async with account.sessionmaker.begin() as db:
        token = await tokens.find_valid(db, "reset", form.token)
        user = await db.get(User, token.user_id) if token and token.user_id else None
    if user is None or user.disabled_at:
        raise tokens.invalid_link("reset")
    new_hash = await _hash(account, form.password.get_secret_value(), user.email, user.name)
    async with account.sessionmaker.begin() as db:
        await tokens.consume(db, "reset", form.token)
        await _store(db, account, user.id, user.email, new_hash)
    await rate_limits.unlock(account, user.email)


async def _hash(
    account: AccountContext, password: str, email: str, name: str, field: str = "password"
) -> str:
    user_words = [email, name, account.settings.public_url]
    await check_new_password(password, user_words=user_words, field=field)
    return await hash_password(password)


async def _store(db: AsyncSession, account: AccountContext, user_id: int, email: str, new_hash: str) -> None:
    """Store the password, and end every session and link that the old one could have led to."""
    values = {"hash": new_hash, "changed_at": func.now()}
    row = insert(Password).values(user_id=user_id, **values)
    await db.execute(row.on_conflict_do_update(index_elements=["user_id"], set_=values))
    await sessions.end_all(db, user_id)
    await tokens.revoke(db, user_id, "reset", "email")
    await audit.record(db, "password.changed", account.client, user_id)
    await enqueue(db, NoticeEmail(template="password_changed", email=email))
