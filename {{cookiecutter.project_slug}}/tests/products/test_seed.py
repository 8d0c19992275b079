"""The example products."""

from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from app.seed import seed


async def test_the_products_are_the_same_every_time(client: AsyncClient, db: AsyncSession):
    await seed(db)
    await db.commit()
    products = (await client.get("/api/products")).json()
    assert products["total"] == 96
    assert [item["price"] for item in products["items"][:3]] == ["214.90", "259.90", "39.90"]
