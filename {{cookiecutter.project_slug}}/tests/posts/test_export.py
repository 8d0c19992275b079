"""An export of posts."""

from datetime import UTC, datetime

from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.models import User
from app.posts.models import Post
from tests.exports.factories import build
from tests.factories import add_user


async def test_an_export_contains_only_the_posts_of_its_owner(
    signed_in_client: AsyncClient, user: User, db: AsyncSession
):
    for author in (user, await add_user(db)):
        slug = f"post-{author.id}"
        values = {"slug": slug, "title": slug, "body": "", "tags": [], "published_at": datetime.now(UTC)}
        db.add(Post(author_id=author.id, **values))
    await db.commit()
    export = (await signed_in_client.post("/api/exports", json={"resource": "posts"})).json()
    assert await build(db, export["id"]) == {"rows": 1}
    header, row = (await signed_in_client.get(f"/api/exports/{export['id']}/file")).text.splitlines()
    assert header == "id,slug,title,author_id,published_at"
    assert row.split(",")[1] == f"post-{user.id}"
