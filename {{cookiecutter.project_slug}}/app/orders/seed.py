"""Example orders."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.models import User
from app.orders.models import Order, OrderItem
from app.products.models import Product

AFTER = ["products"]
NEWEST = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)


async def seed(db: AsyncSession) -> None:
    """Create two orders, of one to three products each, for each of the first fifteen users."""
    rng = random.Random(7)  # noqa: S311 (the same data every time, no secrets)
    products = (await db.scalars(select(Product).order_by(Product.id))).all()
    buyers = (await db.scalars(select(User.id).order_by(User.id).limit(15))).all()
    for number, user_id in enumerate([*buyers, *buyers]):
        items = [
            OrderItem(product_id=product.id, quantity=rng.randint(1, 3), unit_price=product.price)
            for product in rng.sample(products, rng.randint(1, 3))
        ]
        total = sum((item.quantity * item.unit_price for item in items), Decimal(0))
        placed_at = NEWEST - timedelta(hours=9 * number)
        db.add(Order(user_id=user_id, items=items, total=total, placed_at=placed_at))
