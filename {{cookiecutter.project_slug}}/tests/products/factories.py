"""Create products for tests."""

from decimal import Decimal
from itertools import count
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.products.models import Product
from tests.factories import add_user

_numbers = count(1)


async def add_product(db: AsyncSession, **fields: Any) -> Product:
    """Create and commit a product, of a new user unless `owner_id` is given."""
    number = next(_numbers)
    defaults = {"sku": f"lamp-{number}", "name": "Reading lamp", "category": "home/lighting"}
    if "owner_id" not in fields:
        fields["owner_id"] = (await add_user(db)).id
    product = Product(**defaults | {"price": Decimal("19.90"), "stock": 10} | fields)
    db.add(product)
    await db.commit()
    return product
