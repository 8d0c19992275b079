"""A session begins, whichever way somebody proved who they are."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from app.core import cookies, devices
from app.core.devices import Device
from app.core.work import Work
from app.models.events import Event
from app.models.users import User
from app.schemas.notices import Notice
from app.services import notices, sessions

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


async def begin(
    db: AsyncSession,
    work: Work,
    user: User,
    device: Device,
    *,
    methods: list[str],
    remember: bool = False,
    instead_of: str | None = None,
    at: datetime | None = None,
) -> Started:
    """Start the session of a user who has proved who they are; a new device is told to its owner."""
    before = exists().where(Event.user_id == user.id, Event.kind == "session.started")
    signed_in_before = await db.scalar(select(before))
    if signed_in_before and not device.knows(user.id, user.device_epoch):
        facts = {"browser": work.client.user_agent, "address": work.client.address}
        await notices.tell(db, Notice(kind="new_device", email=user.email, facts=facts))
    token = await sessions.start(
        db, user.id, work.client, methods=methods, remember=remember, instead_of=instead_of, at=at
    )
    seconds = SESSION_SECONDS if remember else None
    return Started(token, device.with_user(user.id, user.device_epoch), seconds)
