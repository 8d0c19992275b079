"""Access and refresh tokens of providers, for calls to their API: encrypted, with the name of the key."""

import json

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.secrets import cipher, key_id
from app.models.identities import LinkedIdentity
from app.settings import Settings


def seal(settings: Settings, tokens: dict[str, str]) -> dict[str, bytes | str]:
    """The columns in which an identity keeps them."""
    sealed = cipher(settings).encrypt(json.dumps(tokens).encode())
    return {"tokens": sealed, "tokens_key": key_id(settings.encryption_keyring[0])}


def unseal(settings: Settings, identity: LinkedIdentity) -> dict[str, str]:
    """The tokens; none if none are kept."""
    return json.loads(cipher(settings).decrypt(identity.tokens)) if identity.tokens else {}


async def rotate(db: AsyncSession, settings: Settings) -> int:
    """Encrypt again with the newest key what older keys encrypted; how many."""
    newest = key_id(settings.encryption_keyring[0])
    old = LinkedIdentity.tokens.is_not(None), LinkedIdentity.tokens_key != newest
    rows = (await db.scalars(select(LinkedIdentity).where(*old).with_for_update())).all()
    for row in rows:
        row.tokens, row.tokens_key = cipher(settings).rotate(row.tokens or b""), newest
    await db.flush()
    return len(rows)
