"""Encrypt again, with the newest key, what older keys encrypted: `uv run python -m app.rotate_keys`.

To rotate: put a new key in front of ENCRYPTION_KEYS, deploy, run this, remove the old key, deploy.
SIGNING_KEYS need no run: remove the old one after 400 days, or at once if known devices may be forgotten.
"""

import asyncio
import sys

from cryptography.fernet import InvalidToken

from app.core.db import create_engine, create_sessions
from app.services import stored_tokens
from app.settings import get_settings


async def main() -> None:
    """Rotate in one transaction, which can be run again at any time."""
    settings = get_settings()
    engine = create_engine(settings.database_url, pool_size=1)
    try:
        async with create_sessions(engine).begin() as db:
            count = await stored_tokens.rotate(db, settings)
    except InvalidToken:
        raise SystemExit(
            "Some tokens were encrypted with a key that ENCRYPTION_KEYS does not name any more. Nothing was"
            " changed. Put it back, behind the new one, and run this again."
        ) from None
    finally:
        await engine.dispose()
    sys.stdout.write(f"encrypted again: {count}\n")


if __name__ == "__main__":
    asyncio.run(main())
