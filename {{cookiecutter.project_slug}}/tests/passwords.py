"""People with passwords, for tests."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.passwords import hasher
from app.models.passwords import Password
from app.models.users import User
from tests.factories import add_user

PASSWORD = "four random words here"
_hashes: list[str] = []


async def with_password(db: AsyncSession, **fields: Any) -> User:
    """A user that requests can see, whose password is PASSWORD; it is hashed once a run."""
    user = await add_user(db, **fields)
    if not _hashes:
        _hashes.append(hasher().hash(PASSWORD))
    db.add(Password(user_id=user.id, hash=_hashes[0]))
    await db.commit()
    return user
