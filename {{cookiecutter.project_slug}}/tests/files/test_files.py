"""GET /api/files/{path}."""

import pytest
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from app.files.models import File


@pytest.fixture(autouse=True)
async def guide(db: AsyncSession) -> None:
    db.add(File(path="guides/routing/start.md", media_type="text/markdown", content=b"# Start\n"))
    await db.commit()


async def test_download_in_one_query(client: AsyncClient, queries):
    with queries() as sent:
        response = await client.get("/api/files/guides/routing/start.md")
    assert (response.content, response.headers["content-type"]) == (
        b"# Start\n",
        "text/markdown; charset=utf-8",
    )
    assert len(sent) == 1


@pytest.mark.parametrize(
    "path", ["", "/", "/guides", "/guides/routing/..", "//etc/passwd", "/guides/%2e%2e/x"]
)
async def test_a_missing_file_is_404(client: AsyncClient, path: str):
    assert (await client.get(f"/api/files{path}", follow_redirects=True)).status_code == 404


async def test_a_path_with_nul_is_422(client: AsyncClient):
    assert (await client.get("/api/files/a%00b")).status_code == 422
