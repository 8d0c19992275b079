"""Single-use tokens for e-mailed links."""

from datetime import timedelta
from typing import Any, Literal

from saaskit.errors import Unprocessable
from saaskit.security import digest, new_token
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.models import Token
from app.accounts.schemas import TokenState

Purpose = Literal["sign_up", "reset", "email", "revert"]
LIFETIMES: dict[Purpose, timedelta] = {
    "sign_up": timedelta(hours=24),
    "reset": timedelta(hours=1),
    "email": timedelta(hours=24),
    "revert": timedelta(days=7),
}


async def issue(
    db: AsyncSession, purpose: Purpose, subject: str, *, user_id: int | None = None, **data: Any
) -> str:
    """Return a new token. It replaces an earlier one with the same purpose and subject."""
    token = new_token()
    values = {
        "hash": digest(token),
        "data": data,
        "user_id": user_id,
        "expires_at": func.now() + LIFETIMES[purpose],
    }
    row = insert(Token).values(purpose=purpose, subject=subject, **values)
    await db.execute(row.on_conflict_do_update(index_elements=["purpose", "subject"], set_=values))
    return token


async def reissue(db: AsyncSession, purpose: Purpose, subject: str) -> str | None:
    """Return a new token with the same data, or None if the earlier one has expired or was used."""
    found = await db.scalar(select(Token).where(Token.purpose == purpose, Token.subject == subject))
    if found is None:
        return None
    return await issue(db, purpose, subject, user_id=found.user_id, **found.data)


async def find_valid(db: AsyncSession, purpose: Purpose, token: str) -> Token | None:
    """Return the token if it is valid, without consuming it."""
    return await db.scalar(select(Token).where(*_is_valid(purpose, token)))


async def get_state(db: AsyncSession, purpose: Purpose, token: str) -> TokenState:
    """Return whether the link is still valid, without consuming it."""
    found = await find_valid(db, purpose, token)
    return TokenState(valid=found is not None, expires_at=found and found.expires_at)


async def consume(db: AsyncSession, purpose: Purpose, token: str) -> Token:
    """Delete and return the token, in one statement; raises Unprocessable unless it is valid."""
    used = await db.scalar(delete(Token).where(*_is_valid(purpose, token)).returning(Token))
    if used is None:
        raise invalid_link(purpose)
    return used


async def revoke(db: AsyncSession, user_id: int, *purposes: Purpose) -> None:
    """Delete the user's tokens for these purposes."""
    await db.execute(delete(Token).where(Token.user_id == user_id, Token.purpose.in_(purposes)))


def invalid_link(purpose: Purpose) -> Unprocessable:
    """Return the error for every link that cannot be used, whatever the reason."""
    return Unprocessable("This link is no longer valid. Request a new one.", event=f"{purpose}.bad_token")


def _is_valid(purpose: Purpose, token: str) -> tuple[Any, ...]:
    return Token.hash == digest(token), Token.purpose == purpose, Token.expires_at > func.now()
