"""GET /api/posts?page=2&tag=nextjs."""

from datetime import UTC, datetime, timedelta

import pytest
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from app.posts.models import Post
from tests.factories import add_user

DAY = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
async def posts(db: AsyncSession) -> None:
    """Five posts, post-5 the newest; the odd ones are tagged nextjs."""
    ada = await add_user(db)
    db.add_all(
        Post(
            slug=f"post-{n}",
            title=f"Post {n}",
            body="…",
            tags=["nextjs", "web"] if n % 2 else ["web"],
            author_id=ada.id,
            published_at=DAY + timedelta(days=n),
        )
        for n in range(1, 6)
    )
    await db.commit()


def slugs(response) -> list[str]:
    return [post["slug"] for post in response.json()["items"]]


async def test_a_page_with_total_and_links_takes_one_query(client: AsyncClient, queries):
    with queries() as sent:
        response = await client.get("/api/posts", params={"page": 2, "per_page": 2})
    assert len(sent) == 1
    assert slugs(response) == ["post-3", "post-2"]
    assert response.json()["total"] == 5
    assert response.links == {
        "first": {"url": "?per_page=2&page=1", "rel": "first"},
        "prev": {"url": "?per_page=2&page=1", "rel": "prev"},
        "next": {"url": "?per_page=2&page=3", "rel": "next"},
        "last": {"url": "?per_page=2&page=3", "rel": "last"},
    }


async def test_filter_by_tag(client: AsyncClient):
    response = await client.get("/api/posts?page=2&tag=nextjs&per_page=2")
    assert slugs(response) == ["post-1"]
    assert response.json()["total"] == 3
    assert 'rel="next"' not in response.headers["link"]
    assert "tag=nextjs" in response.headers["link"]


async def test_an_unknown_tag_has_no_posts(client: AsyncClient):
    response = await client.get("/api/posts?tag=cobol")
    assert (slugs(response), response.json()["total"]) == ([], 0)


async def test_a_page_after_the_last_is_404_and_names_the_last(client: AsyncClient):
    response = await client.get("/api/posts?page=4&per_page=2")
    assert response.status_code == 404
    assert response.json()["detail"] == "There is no page 4; the last one is 3."


@pytest.mark.requirement("INPUT-2", "INPUT-3")
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=two", "page"),
        ("page=1e9", "page"),
        ("page=1&page=", "page"),
        ("per_page=101", "per_page"),
        ("per_page=0", "per_page"),
        ("tag=Next.js", "tag"),
        ("tag=%00", "tag"),
        ("limit=5", "limit"),
        ("sort=published_at;drop", "sort"),
        ("filter%5Bauthor_id%5D=1", "filter[author_id]"),
        ("tag=%27%20OR%201=1--", "tag"),
        ("tag=%25", "tag"),
        ("page=1%3Bselect%20pg_sleep(5)", "page"),
    ],
)
async def test_invalid_values_are_named(client: AsyncClient, query: str, field: str):
    response = await client.get(f"/api/posts?{query}")
    assert response.status_code == 422
    assert [(error["location"], error["field"]) for error in response.json()["errors"]] == [("query", field)]
