"""The example files."""

from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from app.seed import seed


async def test_a_guide_can_be_downloaded(client: AsyncClient, db: AsyncSession):
    await seed(db)
    await db.commit()
    guide = await client.get("/api/files/guides/getting-started.md")
    assert guide.text.startswith("# Getting started")
