"""Links in mails: made, looked at, used once."""

from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.errors import Unprocessable
from app.core.secrets import digest, new_token
from app.models.identities import Flow
from app.models.sessions import Session
from app.models.tokens import Token
from app.schemas.users import TokenState

Purpose = Literal[
    "sign_up",
    "reset",
    "email",
    "revert",
]
LIFETIMES: dict[Purpose, timedelta] = {
    "sign_up": timedelta(hours=24),
    "reset": timedelta(hours=1),
    "email": timedelta(hours=24),
    "revert": timedelta(days=7),
}


async def issue(
    db: AsyncSession, purpose: Purpose, subject: str, *, user_id: int | None = None, **data: Any
) -> str:
    """A new token; the older one of the same purpose and subject ends here."""
    token = new_token()
    values = {"hash": digest(token), "data": data, "user_id": user_id}
    values |= {"expires_at": func.now() + LIFETIMES[purpose]}
    new = insert(Token).values(purpose=purpose, subject=subject, **values)
    await db.execute(new.on_conflict_do_update(index_elements=["purpose", "subject"], set_=values))
    return token


async def renew(db: AsyncSession, purpose: Purpose, subject: str) -> str | None:
    """Another token for what was asked for, or None if that has expired or was used."""
    found = await db.scalar(select(Token).where(Token.purpose == purpose, Token.subject == subject))
    if found is None:
        return None
    return await issue(db, purpose, subject, user_id=found.user_id, **found.data)


async def look(db: AsyncSession, purpose: Purpose, token: str) -> Token | None:
    """The token if it is good; it stays so."""
    good = (Token.hash == digest(token), Token.purpose == purpose, Token.expires_at > func.now())
    return await db.scalar(select(Token).where(*good))


async def state(db: AsyncSession, purpose: Purpose, token: str) -> TokenState:
    """Whether the link would work."""
    found = await look(db, purpose, token)
    return TokenState(valid=found is not None, expires_at=found and found.expires_at)


async def consume(db: AsyncSession, purpose: Purpose, token: str) -> Token:
    """Use it up, in the statement that finds it; Unprocessable unless it was good."""
    good = (Token.hash == digest(token), Token.purpose == purpose, Token.expires_at > func.now())
    used = await db.scalar(delete(Token).where(*good).returning(Token))
    if used is None:
        raise no_longer_valid(purpose)
    return used


async def revoke(db: AsyncSession, user_id: int, *purposes: Purpose) -> None:
    """End the user's links of these purposes."""
    await db.execute(delete(Token).where(Token.user_id == user_id, Token.purpose.in_(purposes)))


def no_longer_valid(purpose: Purpose) -> Unprocessable:
    """The one answer to every link that does not work."""
    return Unprocessable("This link is no longer valid. Ask for a new one.", event=f"{purpose}.bad_token")


async def forget_expired(db: AsyncSession) -> int:
    """Delete links, sessions and sign-ins on their way that are over; how many."""
    over = (
        delete(Token).where(Token.expires_at < func.now()),
        delete(Session).where(Session.expires_at < func.now()),
        delete(Flow).where(Flow.created_at < func.now() - timedelta(hours=1)),
    )
    return sum([(await db.execute(statement)).rowcount for statement in over])  # type: ignore[attr-defined]
