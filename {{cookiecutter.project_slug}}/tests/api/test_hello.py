"""GET /api/hello."""

from httpx2 import AsyncClient


async def test_greets_the_world_or_by_name(client: AsyncClient):
    assert (await client.get("/api/hello")).json() == {"message": "Hello, world!"}
    assert (await client.get("/api/hello", params={"name": "Ada"})).json() == {"message": "Hello, Ada!"}


async def test_a_blank_name_is_refused(client: AsyncClient):
    response = await client.get("/api/hello", params={"name": " "})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "name"
