"""Example products."""

import random
import re
from decimal import Decimal

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.models import User
from app.products.models import Product

AFTER = ["accounts"]
CATEGORIES = {
    "audio/headphones": ("Over-ear headphones", "In-ear monitors", "Sports earbuds", "Studio headphones"),
    "audio/speakers": ("Bookshelf speaker", "Travel speaker", "Soundbar", "Shower radio"),
    "office/desks": ("Standing desk", "Corner desk", "Folding desk", "Desk drawer unit"),
    "office/chairs": ("Task chair", "Kneeling chair", "Drafting stool", "Lounge chair"),
    "home/lighting": ("Reading lamp", "Floor lamp", "LED strip", "Bedside lamp"),
    "home/kitchen/coffee": ("Pour-over set", "Burr grinder", "Espresso machine", "Milk frother"),
    "home/kitchen/knives": ("Chef's knife", "Paring knife", "Bread knife", "Knife block"),
    "outdoor/camping": ("Two-person tent", "Sleeping mat", "Camp stove", "Head torch"),
}
FINISHES = ("Classic", "Pro", "Mini")


async def seed(db: AsyncSession) -> None:
    """Create each product in three finishes. They belong to the first user."""
    rng = random.Random(7)  # noqa: S311 (the same data every time, no secrets)
    owner_id = await db.scalar(select(func.min(User.id)))
    products = [
        {
            "owner_id": owner_id,
            "sku": re.sub("[^a-z]+", "-", f"{name} {finish}".lower()),
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
    await db.execute(insert(Product), products)
