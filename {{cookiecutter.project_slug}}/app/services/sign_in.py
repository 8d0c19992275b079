"""Signing in with a password. All refusals are the same, and take the same time."""

from dataclasses import dataclass

from sqlalchemy import exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from app.core import cookies, devices, passwords
from app.core.cookies import Browser
from app.core.devices import Device
from app.core.errors import Unauthorized
from app.core.work import Work
from app.models.events import Event
from app.models.users import Password, User
from app.schemas.notices import Notice
from app.schemas.sessions import SignIn
from app.services import limits, notices, sessions

SESSION_SECONDS = int(sessions.REMEMBERED_ABSOLUTE.total_seconds())


@dataclass(frozen=True)
class Started:
    """What the browser is to keep. `seconds` is None where the cookie ends with the browser."""

    token: str
    device: str
    seconds: int | None

    def keep(self, response: Response) -> None:
        """Set the cookies."""
        cookies.put(response, cookies.SESSION, self.token, self.seconds)
        cookies.put(response, cookies.DEVICE, self.device, devices.SECONDS)


async def with_password(work: Work, form: SignIn, browser: Browser) -> Started:
    """Check the password and start a session; Unauthorized, TooManyRequests.

    A session that the browser has ends.
    """
    await limits.client(work, "session.throttled")
    known = Device(browser.device, work.settings)
    async with work.transaction() as db:
        account = select(User, Password.hash).outerjoin(Password).where(User.email == form.email)
        found = (await db.execute(account)).one_or_none()
    user, stored = found or (None, None)
    device_key = known.key if user and known.knows(user.id) else None
    await limits.sign_in(work, form.email, device_key)
    correct, newer = await passwords.verify(form.password.get_secret_value(), stored)
    if not user or not correct or user.disabled_at:
        raise Unauthorized(
            "The e-mail address or the password is wrong.", event="session.refused", user_id=user and user.id
        )
    await limits.forgive(work, form.email, device_key)
    async with work.transaction() as db:
        if newer:
            changed = update(Password).where(Password.user_id == user.id, Password.hash == stored)
            await db.execute(changed.values(hash=newer))
        return await begin(
            db, work, user, known, methods=["pwd"], remember=form.remember, instead_of=browser.session
        )


async def begin(
    db: AsyncSession,
    work: Work,
    user: User,
    device: Device,
    *,
    methods: list[str],
    remember: bool = False,
    instead_of: str | None = None,
) -> Started:
    """Start the session of a user who has proved who they are; a new device is told to its owner."""
    before = exists().where(Event.user_id == user.id, Event.kind == "session.started")
    signed_in_before = await db.scalar(select(before))
    if signed_in_before and not device.knows(user.id):
        facts = {"browser": work.client.user_agent, "address": work.client.address}
        await notices.tell(db, Notice(kind="new_device", email=user.email, facts=facts))
    token = await sessions.start(
        db, user.id, work.client, methods=methods, remember=remember, instead_of=instead_of
    )
    seconds = SESSION_SECONDS if remember else None
    return Started(token, device.with_user(user.id), seconds)
