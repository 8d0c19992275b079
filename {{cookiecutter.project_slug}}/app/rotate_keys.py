"""Re-encrypt stored provider tokens with the newest key: `uv run python -m app.rotate_keys`.

To rotate: put a new key first in ENCRYPTION_KEYS, deploy, run this command, remove the old key, deploy.
SIGNING_KEYS need no command: remove the old key after 400 days, or earlier if known devices may be forgotten.
"""

import asyncio
import sys

from cryptography.fernet import InvalidToken
from saaskit.db import create_engine, create_sessionmaker

from app.accounts import provider_tokens
from app.settings import get_settings


async def main() -> None:
    """Rotate in one transaction. It is safe to run again at any time."""
    settings = get_settings()
    engine = create_engine(settings.database_url, pool_size=1)
    try:
        async with create_sessionmaker(engine).begin() as db:
            count = await provider_tokens.rotate(db, settings)
    except InvalidToken:
        raise SystemExit(
            "Some tokens are encrypted with a key that is no longer in ENCRYPTION_KEYS. Nothing was changed. "
            "Add the key after the new one, and run this command again."
        ) from None
    finally:
        await engine.dispose()
    sys.stdout.write(f"{count} re-encrypted\n")


if __name__ == "__main__":
    asyncio.run(main())
