"""Sessions: who is signed in, where, and for how long."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.core.client import Client
from app.core.errors import NotFound
from app.core.secrets import digest, new_token
from app.models.sessions import Session as Row
from app.models.users import User
from app.schemas.sessions import Session, SessionList
from app.services import events

FRESH = timedelta(minutes=10)
"""How long after signing in sensitive acts need no password."""
IDLE, ABSOLUTE = timedelta(hours=12), timedelta(days=7)
REMEMBERED_IDLE, REMEMBERED_ABSOLUTE = timedelta(days=30), timedelta(days=90)
TOUCH = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The user of a request, and the session that says so."""

    id: int
    email: str
    name: str
    created_at: datetime
    delete_at: datetime | None
    session_id: int
    signed_in_at: datetime
    fresh: bool
    """Whether the sign-in is recent enough for sensitive acts."""
    stale: bool
    """Whether `seen_at` is to be written again."""

    def only(self, user_id: int) -> int:
        """The user's own id; NotFound for that of anybody else, who does not exist for them."""
        if user_id != self.id:
            raise NotFound(f"There is no user {user_id}.")
        return self.id


ALIVE = (
    Row.expires_at > func.now(),
    Row.seen_at + func.make_interval(0, 0, 0, 0, 0, 0, Row.idle_seconds) > func.now(),
)
_FIND = (
    select(
        User.id,
        User.email,
        User.name,
        User.created_at,
        User.delete_at,
        Row.id,
        Row.signed_in_at,
        Row.signed_in_at > func.now() - FRESH,
        Row.seen_at < func.now() - TOUCH,
    )
    .join_from(Row, User, User.id == Row.user_id)
    .where(Row.token_hash == bindparam("hash"), User.disabled_at.is_(None), *ALIVE)
)


async def find(db: AsyncSession | AsyncConnection, token: str) -> SignedIn | None:
    """Whose session this is, in one query; once a minute another one notes that it was used."""
    row = (await db.execute(_FIND, {"hash": digest(token)})).one_or_none()
    if row is None:
        return None
    found = SignedIn(*row)
    if found.stale:
        await db.execute(update(Row).where(Row.id == found.session_id).values(seen_at=func.now()))
    return found


async def alive(db: AsyncSession, user: SignedIn) -> bool:
    """Whether the session still holds: what goes on for longer than a request asks now and then."""
    mine = select(Row.id).join(User, User.id == Row.user_id).where(Row.id == user.session_id)
    return await db.scalar(mine.where(User.disabled_at.is_(None), *ALIVE)) is not None


async def start(
    db: AsyncSession,
    user_id: int,
    client: Client,
    *,
    methods: list[str],
    remember: bool = False,
    instead_of: str | None = None,
    at: datetime | None = None,
) -> str:
    """A new session's token; the one that this browser had (`instead_of`) ends. `at`: of an older proof."""
    if instead_of:
        await db.execute(delete(Row).where(Row.token_hash == digest(instead_of)))
    token = new_token()
    idle, absolute = (REMEMBERED_IDLE, REMEMBERED_ABSOLUTE) if remember else (IDLE, ABSOLUTE)
    values = {
        "user_id": user_id,
        "token_hash": digest(token),
        "methods": methods,
        "signed_in_at": at or func.now(),
        "idle_seconds": int(idle.total_seconds()),
        "expires_at": func.now() + absolute,
        "address": client.address,
        "user_agent": client.user_agent,
    }
    await db.execute(insert(Row).values(values))
    await events.record(db, "session.started", client, user_id, methods=methods)
    return token


async def of_user(db: AsyncSession, user: SignedIn) -> SessionList:
    """All sessions of the user that are alive, the last used one first."""
    rows = select(Row).where(Row.user_id == user.id, *ALIVE).order_by(Row.seen_at.desc(), Row.id.desc())
    found = await db.scalars(rows)
    return SessionList(items=[Session.of(row, current=row.id == user.session_id) for row in found])


async def end(db: AsyncSession, user: SignedIn, client: Client, id: int) -> None:
    """End one of the user's sessions, or NotFound."""
    mine = delete(Row).where(Row.id == id, Row.user_id == user.id)
    if await db.scalar(mine.returning(Row.id)) is None:
        raise NotFound("There is no such session.")
    await events.record(db, "session.ended", client, user.id, session=id)


async def end_others(db: AsyncSession, user: SignedIn, client: Client) -> None:
    """End all of the user's sessions but the one that asks."""
    await _forget_devices(db, user.id)
    await db.execute(delete(Row).where(Row.user_id == user.id, Row.id != user.session_id))
    await events.record(db, "session.others_ended", client, user.id)


async def end_all(db: AsyncSession, user_id: int) -> None:
    """End every session of a user."""
    await _forget_devices(db, user_id)
    await db.execute(delete(Row).where(Row.user_id == user_id))


async def _forget_devices(db: AsyncSession, user_id: int) -> None:
    await db.execute(update(User).where(User.id == user_id).values(device_epoch=User.device_epoch + 1))
