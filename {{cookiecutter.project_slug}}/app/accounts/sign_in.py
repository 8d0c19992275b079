"""Sign in with a password. Signing in with a provider is in identities.py; both use `start_session`."""

from datetime import datetime

from saaskit.errors import Unauthorized
from saaskit.jobs import enqueue
from saaskit.security import verify_password
from sqlalchemy import exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import rate_limits, sessions
from app.accounts.browser import BrowserCookies, Device, NewSession
from app.accounts.context import AccountContext
from app.accounts.emails import NoticeEmail
from app.accounts.models import Event, Password, User
from app.accounts.schemas import SignIn

REMEMBERED_SECONDS = int(sessions.REMEMBERED_ABSOLUTE.total_seconds())


async def sign_in_with_password(account: AccountContext, form: SignIn, browser: BrowserCookies) -> NewSession:
    """Verify the password and start a session. The browser's previous session ends.

    Raises TooManyRequests, and Unauthorized for every failure with the same message after the same time.
    """
    await rate_limits.check_network(account, "session.throttled")
    device = Device(browser.device, account.settings)
    async with account.sessionmaker.begin() as db:
        row = select(User, Password.hash, Password.changed_at).outerjoin(Password)
        found = (await db.execute(row.where(User.email == form.email))).one_or_none()
    user, stored, changed_at = found or (None, None, None)
    device_key = device.key if user and device.knows(user.id, user.device_epoch) else None
    await rate_limits.check_password_attempt(account, form.email, device_key)
    correct, new_hash = await verify_password(form.password.get_secret_value(), stored)
    if not user or not correct or user.disabled_at:
        raise _refused(user)
    await rate_limits.reset_after_success(account, form.email, device_key)
    async with account.sessionmaker.begin() as db:
        if not await lock_password(db, user.id, changed_at):
            raise _refused(user)
        if new_hash:
            outdated = update(Password).where(Password.user_id == user.id, Password.hash == stored)
            await db.execute(outdated.values(hash=new_hash))
        return await start_session(
            db, account, user, device, methods=["pwd"], remember=form.remember, replaces=browser.session
        )


async def start_session(
    db: AsyncSession,
    account: AccountContext,
    user: User,
    device: Device,
    *,
    methods: list[str],
    remember: bool = False,
    replaces: str | None = None,
    signed_in_at: datetime | None = None,
) -> NewSession:
    """Start a session for an authenticated user, and e-mail the user about an unknown device.

    The options are those of `sessions.start`.
    """
    earlier = exists().where(Event.user_id == user.id, Event.kind == "session.started")
    if await db.scalar(select(earlier)) and not device.knows(user.id, user.device_epoch):
        values = {"browser": account.client.user_agent, "address": account.client.ip}
        await enqueue(db, NoticeEmail(template="new_device", email=user.email, values=values))
    token = await sessions.start(
        db,
        user.id,
        account.client,
        methods=methods,
        remember=remember,
        replaces=replaces,
        signed_in_at=signed_in_at,
    )
    return NewSession(
        token=token,
        device=device.cookie_with(user.id, user.device_epoch),
        max_age=REMEMBERED_SECONDS if remember else None,
    )


async def lock_password(db: AsyncSession, user_id: int, changed_at: datetime | None) -> bool:
    """Return whether the password is unchanged since `changed_at`, and keep it so until the commit."""
    row = select(Password.changed_at).where(Password.user_id == user_id).with_for_update()
    return await db.scalar(row) == changed_at


def _refused(user: User | None) -> Unauthorized:
    message = "The e-mail address or the password is wrong."
    return Unauthorized(message, event="session.refused", user_id=user and user.id)
