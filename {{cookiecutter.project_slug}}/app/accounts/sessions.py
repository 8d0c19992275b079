"""Sessions: start, find, list and end them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from saaskit.errors import NotFound
from saaskit.security import digest, new_token
from saaskit.web import ClientInfo
from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.accounts import audit, schemas
from app.accounts.models import Session, User

RECENT = timedelta(minutes=10)
"""How long after signing in a user may do sensitive things without signing in again."""
IDLE, ABSOLUTE = timedelta(hours=12), timedelta(days=7)
REMEMBERED_IDLE, REMEMBERED_ABSOLUTE = timedelta(days=30), timedelta(days=90)
SEEN_INTERVAL = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatedUser:
    """The user of a request, and the session that authenticates it."""

    id: int
    email: str
    name: str
    created_at: datetime
    delete_at: datetime | None
    session_id: int
    signed_in_at: datetime
    signed_in_recently: bool
    """Whether the sign-in is recent enough for sensitive actions."""
    seen_at_outdated: bool
    """Whether `seen_at` must be updated."""

    def require_self(self, user_id: int) -> int:
        """Return the user's own id; raises NotFound for another user's."""
        if user_id != self.id:
            raise NotFound(f"There is no user {user_id}.")
        return self.id


IS_ACTIVE = (
    Session.expires_at > func.now(),
    Session.seen_at + func.make_interval(0, 0, 0, 0, 0, 0, Session.idle_seconds) > func.now(),
)
_FIND = (
    select(
        User.id,
        User.email,
        User.name,
        User.created_at,
        User.delete_at,
        Session.id.label("session_id"),
        Session.signed_in_at,
        (Session.signed_in_at > func.now() - RECENT).label("signed_in_recently"),
        (Session.seen_at < func.now() - SEEN_INTERVAL).label("seen_at_outdated"),
    )
    .join_from(Session, User, User.id == Session.user_id)
    .where(Session.token_hash == bindparam("hash"), User.disabled_at.is_(None), *IS_ACTIVE)
)


async def find(db: AsyncSession | AsyncConnection, token: str) -> AuthenticatedUser | None:
    """Return the user of an active session, in one query. Once a minute a second one updates `seen_at`."""
    row = (await db.execute(_FIND, {"hash": digest(token)})).one_or_none()
    if row is None:
        return None
    user = AuthenticatedUser(**row._mapping)
    if user.seen_at_outdated:
        await db.execute(update(Session).where(Session.id == user.session_id).values(seen_at=func.now()))
    return user


async def is_active(db: AsyncSession, user: AuthenticatedUser) -> bool:
    """Return whether the session is still active. For responses that outlive the request, such as streams."""
    session = select(Session.id).join(User, User.id == Session.user_id).where(Session.id == user.session_id)
    return await db.scalar(session.where(User.disabled_at.is_(None), *IS_ACTIVE)) is not None


async def start(
    db: AsyncSession,
    user_id: int,
    client: ClientInfo,
    *,
    methods: list[str],
    remember: bool = False,
    replaces: str | None = None,
    signed_in_at: datetime | None = None,
) -> str:
    """Start a session and return its token.

    `replaces` is the token of the browser's previous session, which ends. `signed_in_at` is the time of an
    earlier authentication at a provider; the default is now.
    """
    if replaces:
        await db.execute(delete(Session).where(Session.token_hash == digest(replaces)))
    token = new_token()
    idle, absolute = (REMEMBERED_IDLE, REMEMBERED_ABSOLUTE) if remember else (IDLE, ABSOLUTE)
    await db.execute(
        insert(Session).values(
            user_id=user_id,
            token_hash=digest(token),
            methods=methods,
            signed_in_at=signed_in_at or func.now(),
            idle_seconds=int(idle.total_seconds()),
            expires_at=func.now() + absolute,
            address=client.ip,
            user_agent=client.user_agent,
        )
    )
    await audit.record(db, "session.started", client, user_id, methods=methods)
    return token


async def list_for_user(db: AsyncSession, user: AuthenticatedUser) -> schemas.SessionList:
    """Return the user's active sessions, most recently used first."""
    rows = select(Session).where(Session.user_id == user.id, *IS_ACTIVE)
    found = await db.scalars(rows.order_by(Session.seen_at.desc(), Session.id.desc()))
    return schemas.SessionList(
        items=[
            schemas.Session.model_validate(vars(row) | {"current": row.id == user.session_id})
            for row in found
        ]
    )


async def end(db: AsyncSession, user: AuthenticatedUser, client: ClientInfo, session_id: int) -> None:
    """End one of the user's sessions; raises NotFound."""
    owned = delete(Session).where(Session.id == session_id, Session.user_id == user.id)
    if await db.scalar(owned.returning(Session.id)) is None:
        raise NotFound("There is no such session.")
    await audit.record(db, "session.ended", client, user.id, session=session_id)


async def end_others(db: AsyncSession, user: AuthenticatedUser, client: ClientInfo) -> None:
    """End all of the user's sessions except the one making this request."""
    await _forget_devices(db, user.id)
    await db.execute(delete(Session).where(Session.user_id == user.id, Session.id != user.session_id))
    await audit.record(db, "session.others_ended", client, user.id)


async def end_all(db: AsyncSession, user_id: int) -> None:
    """End all of a user's sessions."""
    await _forget_devices(db, user_id)
    await db.execute(delete(Session).where(Session.user_id == user_id))


async def _forget_devices(db: AsyncSession, user_id: int) -> None:
    await db.execute(update(User).where(User.id == user_id).values(device_epoch=User.device_epoch + 1))
