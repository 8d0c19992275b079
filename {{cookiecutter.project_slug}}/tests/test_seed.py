"""The example data. The data of a feature is tested with the feature."""

import pytest
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from app import seed as module
from app.accounts.seed import PASSWORD
from app.seed import main, seed
from app.settings import Settings


async def test_the_database_is_filled_once(client: AsyncClient, db: AsyncSession):
    assert await seed(db)
    await db.commit()
    assert not await seed(db)
    form = {"email": "ada-lindqvist@example.com", "password": PASSWORD}
    assert (await client.post("/api/session", json=form)).status_code == 204


async def test_example_data_is_refused_in_production(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    production = settings.model_copy(update={"environment": "production"})
    monkeypatch.setattr(module, "get_settings", lambda: production)
    with pytest.raises(SystemExit, match="The example data is not for production"):
        await main()
