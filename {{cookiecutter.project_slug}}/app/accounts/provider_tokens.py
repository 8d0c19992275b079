"""The access and refresh tokens of OAuth providers, encrypted, for calls to their APIs."""

import json

from saaskit.security import cipher, key_id
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.models import LinkedIdentity
from app.settings import Settings


def encrypt(settings: Settings, tokens: dict[str, str]) -> dict[str, bytes | str]:
    """Return the columns of `LinkedIdentity` that store the tokens."""
    keys = settings.encryption_keys
    return {"tokens": cipher(keys).encrypt(json.dumps(tokens).encode()), "tokens_key": key_id(keys[0])}


async def rotate(db: AsyncSession, settings: Settings) -> int:
    """Re-encrypt with the newest key what older keys encrypted. Returns the number of rows."""
    keys = settings.encryption_keys
    outdated = LinkedIdentity.tokens.is_not(None), LinkedIdentity.tokens_key != key_id(keys[0])
    rows = (await db.scalars(select(LinkedIdentity).where(*outdated).with_for_update())).all()
    for row in rows:
        row.tokens, row.tokens_key = cipher(keys).rotate(row.tokens or b""), key_id(keys[0])
    await db.flush()
    return len(rows)
