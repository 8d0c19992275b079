"""Rows for tests, with the fields that a test does not care about filled in."""

from decimal import Decimal
from itertools import count
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.models.products import Product
from app.models.users import User

_numbers = count(1)


async def add_product(db: AsyncSession, **fields: Any) -> Product:
    """A product that requests can see."""
    number = next(_numbers)
    defaults = {"sku": f"lamp-{number}", "name": "Reading lamp", "category": "home/lighting"}
    product = Product(**defaults | {"price": Decimal("19.90"), "stock": 10} | fields)
    db.add(product)
    await db.commit()
    return product


async def add_user(db: AsyncSession, **fields: Any) -> User:
    """A user that requests can see."""
    user = User(**{"email": f"ada-{next(_numbers)}@example.com", "name": "Ada Lindqvist"} | fields)
    db.add(user)
    await db.commit()
    return user
