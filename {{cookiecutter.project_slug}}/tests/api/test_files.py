"""GET /api/files/{path}."""

import pytest
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.files import File


@pytest.fixture(autouse=True)
async def guide(db: AsyncSession) -> None:
    db.add(File(path="guides/routing/start.md", media_type="text/markdown", content=b"# Start\n"))
    await db.commit()


async def test_download_in_one_query(client: AsyncClient, queries):
    with queries() as sent:
        answer = await client.get("/api/files/guides/routing/start.md")
    assert (answer.content, answer.headers["content-type"]) == (b"# Start\n", "text/markdown; charset=utf-8")
    assert len(sent) == 1


@pytest.mark.parametrize(
    "path", ["", "/", "/guides", "/guides/routing/..", "//etc/passwd", "/guides/%2e%2e/x"]
)
async def test_what_is_not_there_is_404(client: AsyncClient, path: str):
    assert (await client.get(f"/api/files{path}", follow_redirects=True)).status_code == 404


async def test_a_path_that_no_text_can_hold_is_422(client: AsyncClient):
    assert (await client.get("/api/files/a%00b")).status_code == 422
