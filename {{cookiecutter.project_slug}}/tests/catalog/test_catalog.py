"""GET /api/catalog and below."""

import pytest
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from tests.products.factories import add_product


@pytest.fixture(autouse=True)
async def shop(db: AsyncSession) -> None:
    for category in ("audio", "audio/headphones", "audio/headphones/in-ear", "home/lighting"):
        await add_product(db, category=category)


async def test_the_root_lists_the_first_level_in_one_query(client: AsyncClient, queries):
    with queries() as sent:
        response = await client.get("/api/catalog")
    assert len(sent) == 1
    assert response.json() == {
        "path": "",
        "subcategories": [{"path": "audio", "products": 3}, {"path": "home", "products": 1}],
    }


async def test_a_category_lists_its_subcategories(client: AsyncClient):
    response = await client.get("/api/catalog/audio")
    assert response.json()["subcategories"] == [{"path": "audio/headphones", "products": 2}]
    response = await client.get("/api/catalog/audio/headphones")
    assert response.json()["subcategories"] == [{"path": "audio/headphones/in-ear", "products": 1}]


async def test_the_deepest_level_is_empty(client: AsyncClient):
    assert (await client.get("/api/catalog/home/lighting")).json() == {
        "path": "home/lighting",
        "subcategories": [],
    }


@pytest.mark.parametrize("path", ["toys", "aud", "audio/%25", "AUDIO"])
async def test_an_unknown_category_is_404(client: AsyncClient, path: str):
    assert (await client.get(f"/api/catalog/{path}")).status_code == 404
