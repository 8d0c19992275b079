"""`python -m app.rotate_keys`, on committed rows."""

from collections.abc import AsyncIterator, Callable

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr
from saaskit.db import Sessionmaker, create_engine, create_sessionmaker
from saaskit.security import cipher
from sqlalchemy import select

from app import rotate_keys
from app.accounts import provider_tokens
from app.accounts.models import LinkedIdentity
from app.settings import Settings
from tests.factories import add_user

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


@pytest.fixture
def rotation_settings(settings: Settings, new_database: Callable[[str], str]) -> Settings:
    return settings.model_copy(update={"database_url": new_database("rotation")})


@pytest.fixture
async def committing(rotation_settings: Settings) -> AsyncIterator[Sessionmaker]:
    engine = create_engine(rotation_settings.database_url, pool_size=1)
    yield create_sessionmaker(engine)
    await engine.dispose()


@pytest.mark.requirement("OPS-4")
@pytest.mark.requirement("OIDC-17")
async def test_provider_tokens_are_re_encrypted_with_the_newest_key(
    rotation_settings: Settings, committing: Sessionmaker, monkeypatch, capsys
):
    def use(*keys: str) -> Settings:
        changed = rotation_settings.model_copy(update={"encryption_keys": [SecretStr(key) for key in keys]})
        monkeypatch.setattr(rotate_keys, "get_settings", lambda: changed)
        return changed

    async with committing() as db:
        user = await add_user(db)
        columns = provider_tokens.encrypt(use(OLD), {"access_token": "secret"})
        db.add(LinkedIdentity(user_id=user.id, provider="x", issuer="x", subject="1", **columns))
        await db.commit()

    use(NEW)
    with pytest.raises(SystemExit, match="Nothing was changed"):
        await rotate_keys.main()
    use(NEW, OLD)
    for expected in ("1 re-encrypted\n", "0 re-encrypted\n"):
        await rotate_keys.main()
        assert capsys.readouterr().out == expected
    async with committing() as db:
        (tokens,) = await db.scalars(select(LinkedIdentity.tokens))
    assert tokens
    assert cipher([SecretStr(NEW)]).decrypt(tokens) == b'{"access_token": "secret"}'
