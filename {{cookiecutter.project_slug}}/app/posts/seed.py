"""Example posts."""

import random
import re
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.models import User
from app.posts.models import Post

AFTER = ["accounts"]
NEWEST = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)
TOPICS = {
    "nextjs": ("Coming from Next.js", "Route handlers, side by side", "Typed clients for both worlds"),
    "fastapi": ("Dependencies that commit", "Streaming without tears", "Response models that pay"),
    "postgres": ("One query where one does", "Money is not a float", "Locks in the right order"),
    "caching": ("Stale while revalidate", "A cache that never lies", "One flight per key"),
    "jobs": ("Work that is never lost", "Leases and fences", "Cancel means cancel"),
}


async def seed(db: AsyncSession) -> None:
    """Create eight posts per title, oldest first: enough for a second page of each tag."""
    rng = random.Random(7)  # noqa: S311 (the same data every time, no secrets)
    authors = (await db.scalars(select(User.id).order_by(User.id))).all()
    titles = [
        (topic, f"{title}, part {part}")
        for part in range(1, 9)
        for topic in TOPICS
        for title in TOPICS[topic]
    ]
    posts = [
        {
            "slug": re.sub("[^a-z0-9]+", "-", title.lower()),
            "title": title,
            "body": f"{title}: what we learned, and what we would do again.",
            "tags": sorted({topic, rng.choice(sorted(TOPICS))}),
            "author_id": rng.choice(authors),
            "published_at": NEWEST - timedelta(days=7 * (len(titles) - number)),
        }
        for number, (topic, title) in enumerate(titles)
    ]
    await db.execute(insert(Post), posts)
