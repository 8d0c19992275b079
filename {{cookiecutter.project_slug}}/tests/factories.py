"""Create rows for tests. Fields that a test does not mention have defaults."""

import secrets
from typing import Any

import httpx2
from saaskit.ratelimit import Limit
from saaskit.security import hash_password
from saaskit.web import ClientInfo
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import sessions
from app.accounts.browser import SESSION
from app.accounts.models import Password, User
from app.state import State

PASSWORD = "four random words here"


def new_email() -> str:
    """Return an address that no other test uses, because rate limits count by it."""
    return f"ada-{secrets.token_hex(6)}@example.com"


def new_ip() -> str:
    """Return an IPv4 address that no other test uses."""
    return ".".join(["10", *(str(number) for number in secrets.token_bytes(3))])


async def add_user(db: AsyncSession, *, password: str | None = None, **fields: Any) -> User:
    """Create and commit a user, with a password if one is given."""
    user = User(**{"email": new_email(), "name": "Ada Lindqvist"} | fields)
    db.add(user)
    await db.flush()
    if password:
        db.add(Password(user_id=user.id, hash=await hash_password(password)))
    await db.commit()
    return user


async def use_up(state: State, limit: Limit, key: str, *, leave: int = 0) -> None:
    """Count requests against a rate limit until only `leave` are left."""
    for _ in range(limit.max_requests - leave):
        assert await state["rate_limiter"].allow(limit, key)


async def sign_in(db: AsyncSession, user: User) -> httpx2.Cookies:
    """Return the cookies of a browser in which the user has just signed in."""
    token = await sessions.start(db, user.id, ClientInfo("10.0.0.1", "Firefox", None), methods=["pwd"])
    await db.commit()
    return httpx2.Cookies({SESSION: token})
