"""Rows for tests, with the fields that a test does not care about filled in."""

import secrets
from typing import Any

import httpx2
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import cookies
from app.core.client import Client
from app.models.users import User
from app.services import sessions


def new_email() -> str:
    """An address that no other test uses: limits count by it."""
    return f"ada-{secrets.token_hex(6)}@example.com"


def new_address() -> str:
    """The same for IPv4 addresses."""
    return ".".join(["10", *(str(number) for number in secrets.token_bytes(3))])


async def add_user(db: AsyncSession, **fields: Any) -> User:
    """A user that requests can see."""
    user = User(**{"email": new_email(), "name": "Ada Lindqvist"} | fields)
    db.add(user)
    await db.commit()
    return user


async def signed_in(db: AsyncSession, user: User) -> httpx2.Cookies:
    """The cookies of a browser in which this user is signed in."""
    client = Client("10.0.0.1", "Firefox", None)
    token = await sessions.start(db, user.id, client, methods=["pwd"])
    await db.commit()
    return httpx2.Cookies({cookies.SESSION: token})
