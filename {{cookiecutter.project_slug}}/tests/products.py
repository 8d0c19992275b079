"""Products for tests."""

from decimal import Decimal
from itertools import count
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.models.products import Product
from tests.factories import add_user

_numbers = count(1)


async def add_product(db: AsyncSession, **fields: Any) -> Product:
    """A product that requests can see; somebody's, if `owner_id` does not say whose."""
    number = next(_numbers)
    defaults = {"sku": f"lamp-{number}", "name": "Reading lamp", "category": "home/lighting"}
    if "owner_id" not in fields:
        fields["owner_id"] = (await add_user(db)).id
    product = Product(**defaults | {"price": Decimal("19.90"), "stock": 10} | fields)
    db.add(product)
    await db.commit()
    return product
