"""The example posts."""

from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from app.seed import seed


async def test_every_tag_has_a_second_page(client: AsyncClient, db: AsyncSession):
    await seed(db)
    await db.commit()
    posts = (await client.get("/api/posts?page=2&tag=nextjs")).json()
    assert (len(posts["items"]), posts["total"] > 30) == (20, True)
