"""The category tree, derived from the products' categories."""

from typing import Annotated

from pydantic import StringConstraints
from saaskit.errors import NotFound
from saaskit.schema import Output
from saaskit.types import Text
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.products.models import Product

CategoryPath = Annotated[Text, StringConstraints(max_length=200)]
"""A category, such as `audio/headphones`; empty for the root."""


class Subcategory(Output):
    """A direct subcategory, and the number of products in it and below."""

    path: str
    products: int


class Category(Output):
    """One level of the category tree. The root's path is empty."""

    path: str
    subcategories: list[Subcategory]


async def get_category(db: AsyncSession, path: str) -> Category:
    """Return the category and its direct subcategories, in one query; raises NotFound if it is empty."""
    depth = path.count("/") + 2 if path else 1
    name = func.split_part(Product.category, "/", depth)
    rows = select(name, func.count()).group_by(name).order_by(name)
    if path:
        below = Product.category.startswith(path + "/", autoescape=True)
        rows = rows.where((Product.category == path) | below)
    found = (await db.execute(rows)).all()
    if path and not found:
        raise NotFound(f"There is no category {path}.")
    prefix = path + "/" if path else ""
    return Category(
        path=path,
        subcategories=[Subcategory(path=prefix + name, products=count) for name, count in found if name],
    )
