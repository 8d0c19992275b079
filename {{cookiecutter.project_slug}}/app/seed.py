"""Fill the database with example data, the same every time: `uv run python -m app.seed`."""

import asyncio
import random
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from saaskit.db import create_engine, create_sessionmaker
from saaskit.security import hash_password
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.models import Password, User
from app.files.models import File
from app.orders.models import Order, OrderItem
from app.posts.models import Post
from app.products.models import Product
from app.settings import get_settings

NOW = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)
PASSWORD = "correct horse battery staple"  # noqa: S105 (example data)
SIGN_IN = f"sign in as ada-lindqvist@example.com with the password: {PASSWORD}"
"""All example users have this password."""
NAMES = """Ada Lindqvist, Bruno Okafor, Chiara Romano, Diego Fuentes, Elif Yilmaz, Farid Haddad,
Greta Sommer, Hana Kimura, Ivan Petrov, Julia Novak, Kofi Mensah, Lena Fischer, Mateo Silva,
Nadia Rahman, Oskar Berg, Priya Nair, Quentin Moreau, Rosa Jimenez, Sven Dahl, Tara O'Neill"""
CATEGORIES = {
    "audio/headphones": ("Over-ear headphones", "In-ear monitors", "Sports earbuds", "Studio headphones"),
    "audio/speakers": ("Bookshelf speaker", "Travel speaker", "Soundbar", "Shower radio"),
    "office/desks": ("Standing desk", "Corner desk", "Folding desk", "Desk drawer unit"),
    "office/chairs": ("Task chair", "Kneeling chair", "Drafting stool", "Lounge chair"),
    "home/lighting": ("Reading lamp", "Floor lamp", "LED strip", "Bedside lamp"),
    "home/kitchen/coffee": ("Pour-over set", "Burr grinder", "Espresso machine", "Milk frother"),
    "home/kitchen/knives": ("Chef's knife", "Paring knife", "Bread knife", "Knife block"),
    "outdoor/camping": ("Two-user_id tent", "Sleeping mat", "Camp stove", "Head torch"),
}
FINISHES = ("Classic", "Pro", "Mini")
TOPICS = {
    "nextjs": ("Coming from Next.js", "Route handlers, side by side", "Typed clients for both worlds"),
    "fastapi": ("Dependencies that commit", "Streaming without tears", "Response models that pay"),
    "postgres": ("One query where one does", "Money is not a float", "Locks in the right order"),
    "caching": ("Stale while revalidate", "A cache that never lies", "One flight per key"),
    "jobs": ("Work that is never lost", "Leases and fences", "Cancel means cancel"),
}
FILES = {
    "guides/getting-started.md": "# Getting started\n\nEvery file under `app/api/` is an endpoint.\n",
    "guides/routing/parameters.md": "# Parameters\n\n`[id].py` takes one segment, `[...path].py` the rest.\n",
    "legal/terms.txt": "Be kind. Pay on time.\n",
}


def slug(text: str) -> str:
    """Return lower-case words joined by hyphens."""
    words = "".join(letter if letter.isalnum() else " " for letter in text.lower()).split()
    return "-".join(words)


def users() -> list[dict[str, Any]]:
    """Return twenty users."""
    names = [" ".join(name.split()) for name in NAMES.split(",")]
    return [{"name": name, "email": f"{slug(name)}@example.com"} for name in names]


def products(rng: random.Random, owner: int) -> list[dict[str, Any]]:
    """Return each product in three finishes."""
    return [
        {
            "owner_id": owner,
            "sku": slug(f"{name} {finish}"),
            "name": f"{name}, {finish}",
            "description": f"Our {name.lower()} in the {finish.lower()} finish.",
            "category": category,
            "price": Decimal(rng.randrange(990, 49990, 500)) / 100,
            "stock": rng.randrange(5, 200),
        }
        for category, names in CATEGORIES.items()
        for name in names
        for finish in FINISHES
    ]


def posts(rng: random.Random, authors: list[int]) -> list[dict[str, Any]]:
    """Return eight posts per title, oldest first: enough for a second page of each tag."""
    titles = [
        (topic, f"{title}, part {part}")
        for part in range(1, 9)
        for topic in TOPICS
        for title in TOPICS[topic]
    ]
    return [
        {
            "slug": slug(title),
            "title": title,
            "body": f"{title}: what we learned, and what we would do again.",
            "tags": sorted({topic, rng.choice(sorted(TOPICS))}),
            "author_id": rng.choice(authors),
            "published_at": NOW - timedelta(days=7 * (len(titles) - number)),
        }
        for number, (topic, title) in enumerate(titles)
    ]


def orders(rng: random.Random, buyers: list[int], catalogue: list[Product]) -> list[Order]:
    """Return two orders for each buyer, of one to three products."""
    made = []
    for number, user_id in enumerate(buyers * 2):
        items = [
            OrderItem(product_id=product.id, quantity=rng.randint(1, 3), unit_price=product.price)
            for product in rng.sample(catalogue, rng.randint(1, 3))
        ]
        total = sum((item.quantity * item.unit_price for item in items), Decimal(0))
        placed_at = NOW - timedelta(hours=9 * number)
        made.append(Order(user_id=user_id, items=items, total=total, placed_at=placed_at))
    return made


async def seed(db: AsyncSession) -> bool:
    """Fill the tables. Returns False, and does nothing, if there are users already."""
    if await db.scalar(select(func.count()).select_from(User)):
        return False
    rng = random.Random(7)  # noqa: S311 (the same data every time, no secrets)
    user_ids = (
        await db.scalars(insert(User).returning(User.id, sort_by_parameter_order=True), users())
    ).all()
    hashed = await hash_password(PASSWORD)
    await db.execute(insert(Password), [{"user_id": user_id, "hash": hashed} for user_id in user_ids])
    catalogue = (
        await db.scalars(
            insert(Product).returning(Product, sort_by_parameter_order=True), products(rng, user_ids[0])
        )
    ).all()
    await db.execute(insert(Post), posts(rng, list(user_ids)))
    db.add_all(orders(rng, list(user_ids)[:15], list(catalogue)))
    db.add_all(
        File(path=path, media_type="text/plain; charset=utf-8", content=text.encode())
        for path, text in FILES.items()
    )
    return True


async def main() -> None:
    """Seed the configured database in one transaction. Refuses in production."""
    settings = get_settings()
    if settings.production:
        raise SystemExit("The example data is not for production: its users have a public password.")
    engine = create_engine(settings.database_url, pool_size=1)
    async with create_sessionmaker(engine).begin() as db:
        done = await seed(db)
    await engine.dispose()
    sys.stdout.write(
        f"{'example data written' if done else 'nothing written: there are users already'}; {SIGN_IN}\n"
    )


if __name__ == "__main__":
    asyncio.run(main())
