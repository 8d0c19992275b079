"""The example data."""

import pytest
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from app import seed as module
from app.seed import main, seed
from app.settings import Settings


async def test_the_example_data_is_written_once(client: AsyncClient, db: AsyncSession):
    assert await seed(db)
    await db.commit()
    assert not await seed(db)
    posts = (await client.get("/api/posts?page=2&tag=nextjs")).json()
    assert (len(posts["items"]), posts["total"] > 30) == (20, True)
    products = (await client.get("/api/products")).json()
    assert products["total"] == 96
    assert [item["price"] for item in products["items"][:3]] == ["214.90", "259.90", "39.90"]
    assert (await client.get("/api/files/guides/getting-started.md")).text.startswith("# Getting started")


async def test_production_refuses_the_example_data(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    production = settings.model_copy(update={"environment": "production"})
    monkeypatch.setattr(module, "get_settings", lambda: production)
    with pytest.raises(SystemExit, match="The example data is not for production"):
        await main()
