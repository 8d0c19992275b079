"""Passwords: signed in with, changed by who knows them, reset by who reads the mailbox."""

from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import passwords
from app.core.cookies import Browser
from app.core.devices import Device
from app.core.errors import Unauthorized, Unprocessable
from app.core.work import Work
from app.models.passwords import Password
from app.models.users import User
from app.schemas.notices import Notice, ResetNotice
from app.schemas.passwords import PasswordChange, PasswordForgotten, PasswordReset, SignIn
from app.services import events, limits, notices, sessions, tokens
from app.services.sessions import SignedIn
from app.services.sign_in import Started, begin


async def sign_in(work: Work, form: SignIn, browser: Browser) -> Started:
    """Check the password and start a session; Unauthorized, TooManyRequests.

    All refusals are the same, and take the same time. A session that the browser has ends.
    """
    await limits.client(work, "session.throttled")
    known = Device(browser.device, work.settings)
    async with work.transaction() as db:
        account = select(User, Password.hash, Password.changed_at).outerjoin(Password)
        found = (await db.execute(account.where(User.email == form.email))).one_or_none()
    user, stored, since = found or (None, None, None)
    device_key = known.key if user and known.knows(user.id, user.device_epoch) else None
    await limits.sign_in(work, form.email, device_key)
    correct, newer = await passwords.verify(form.password.get_secret_value(), stored)
    if not user or not correct or user.disabled_at:
        raise _refused(user)
    await limits.forgive(work, form.email, device_key)
    async with work.transaction() as db:
        if not await _still(db, user.id, since):
            raise _refused(user)
        if newer:
            changed = update(Password).where(Password.user_id == user.id, Password.hash == stored)
            await db.execute(changed.values(hash=newer))
        return await begin(
            db, work, user, known, methods=["pwd"], remember=form.remember, instead_of=browser.session
        )


def _refused(user: User | None) -> Unauthorized:
    text = "The e-mail address or the password is wrong."
    return Unauthorized(text, event="session.refused", user_id=user and user.id)


async def change(work: Work, user: SignedIn, form: PasswordChange, device: str | None) -> Started:
    """Set the new one if the current one is right; all sessions and devices end, but for this browser's."""
    await limits.client(work, "password.throttled")
    await limits.sign_in(work, user.email, None)
    async with work.transaction() as db:
        mine = select(Password.hash, Password.changed_at).where(Password.user_id == user.id)
        stored, since = (await db.execute(mine)).one_or_none() or (None, None)
    correct, _ = await passwords.verify(form.current.get_secret_value(), stored)
    wrong = Unprocessable("This is not your current password.", event="password.refused", user_id=user.id)
    if not correct:
        raise wrong
    await limits.forgive(work, user.email, None)
    hashed = await _hash(work, form.new.get_secret_value(), user.email, user.name, field="new")
    async with work.transaction() as db:
        if not await _still(db, user.id, since):
            raise wrong
        if not await sessions.alive(db, user):
            raise Unauthorized("Sign in first.")
        await _store(db, work, user.id, user.email, hashed)
        token = await sessions.start(db, user.id, work.client, methods=["pwd"])
        row = await db.get_one(User, user.id)
        return Started(token, Device(device, work.settings).with_user(row.id, row.device_epoch), None)


async def forgot(work: Work, form: PasswordForgotten) -> None:
    """Ask for a link. Whether the address is known is found out by the worker, behind the answer."""
    await limits.client(work, "reset.throttled")
    if await limits.may_mail(work, form.email):
        async with work.transaction() as db:
            await events.record(db, "reset.asked", work.client, None)
            await notices.tell(db, ResetNotice(email=form.email))


async def reset(work: Work, form: PasswordReset) -> None:
    """Set a new one with the link from the mail. Ends all sessions and starts none."""
    await limits.client(work, "reset.throttled")
    async with work.transaction() as db:
        pending = await tokens.look(db, "reset", form.token)
        user = await db.get(User, pending.user_id) if pending and pending.user_id else None
    if user is None or user.disabled_at:
        raise tokens.no_longer_valid("reset")
    hashed = await _hash(work, form.password.get_secret_value(), user.email, user.name)
    async with work.transaction() as db:
        await tokens.consume(db, "reset", form.token)
        await _store(db, work, user.id, user.email, hashed)
    await limits.unlock(work, user.email)


async def _still(db: AsyncSession, user_id: int, since: datetime | None) -> bool:
    """Whether the password is that of `since`: a reset may have ended it. Holds until the commit."""
    mine = select(Password.changed_at).where(Password.user_id == user_id).with_for_update()
    return await db.scalar(mine) == since


async def _hash(work: Work, secret: str, email: str, name: str, field: str = "password") -> str:
    await passwords.check(secret, about=[email, name, work.settings.public_url], field=field)
    return await passwords.hash_password(secret)


async def _store(db: AsyncSession, work: Work, user_id: int, email: str, hashed: str) -> None:
    """A new password ends every session and every link that the old one could have led to."""
    values = {"hash": hashed, "changed_at": func.now()}
    new = insert(Password).values(user_id=user_id, **values)
    await db.execute(new.on_conflict_do_update(index_elements=["user_id"], set_=values))
    await sessions.end_all(db, user_id)
    await tokens.revoke(db, user_id, "reset", "email")
    await events.record(db, "password.changed", work.client, user_id)
    await notices.tell(db, Notice(kind="password_changed", email=email))
