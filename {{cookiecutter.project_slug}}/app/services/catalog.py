"""The shop's shelves: a tree that is read from the products' categories."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.errors import NotFound
from app.models.products import Product
from app.schemas.catalog import Catalog, Shelf


async def browse(db: AsyncSession, path: str) -> Catalog:
    """One level of the tree below `path` ("" is the root) in one query; NotFound when it is empty."""
    depth = path.count("/") + 2 if path else 1
    part = func.split_part(Product.category, "/", depth)
    rows = select(part, func.count()).group_by(part).order_by(part)
    if path:
        rows = rows.where(
            (Product.category == path) | Product.category.startswith(path + "/", autoescape=True)
        )
    found = (await db.execute(rows)).all()
    if path and not found:
        raise NotFound(f"There is no category {path}.")
    prefix = path + "/" if path else ""
    return Catalog(path=path, shelves=[Shelf(path=prefix + name, products=n) for name, n in found if name])
