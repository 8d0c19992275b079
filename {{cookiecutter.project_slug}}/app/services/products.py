"""Products: one statement each."""

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.conditional import Check
from app.core.errors import NotFound
from app.core.paging import Page, paginate
from app.models.products import Product as Row
from app.schemas.products import Product, ProductChange, ProductCreate, ProductQuery


def _found(row: Row | None, id: int) -> Product:
    if row is None:
        raise NotFound(f"There is no product {id}.")
    return Product.model_validate(row)


async def browse(db: AsyncSession, query: ProductQuery) -> Page[Product]:
    """One page of products by number, of a category and all below it if one is named."""
    rows = select(Row).order_by(Row.id)
    if query.category:
        rows = rows.where(or_(Row.category == query.category, Row.category.startswith(query.category + "/")))
    return await paginate(db, rows, Product, query)


async def find(db: AsyncSession, id: int) -> Product:
    """The product, or NotFound."""
    return _found(await db.get(Row, id), id)


async def create(db: AsyncSession, new: ProductCreate) -> Product:
    """Add a product; Conflict when its SKU is taken."""
    row = await db.scalar(insert(Row).values(**new.model_dump()).returning(Row))
    return Product.model_validate(row)


async def _check(db: AsyncSession, id: int, check: Check | None) -> None:
    """Lock the row and look at it first, if there is a condition."""
    if check:
        check(_found(await db.get(Row, id, with_for_update=True), id))


async def change(db: AsyncSession, id: int, changes: ProductChange, check: Check | None = None) -> Product:
    """Change the named fields, or NotFound; PreconditionFailed when the product does not pass the check."""
    await _check(db, id, check)
    values = changes.model_dump(exclude_unset=True)
    return _found(await db.scalar(update(Row).where(Row.id == id).values(**values).returning(Row)), id)


async def remove(db: AsyncSession, id: int, check: Check | None = None) -> None:
    """Delete the product, or NotFound; Conflict when it was ever ordered; PreconditionFailed as above."""
    await _check(db, id, check)
    _found(await db.scalar(delete(Row).where(Row.id == id).returning(Row)), id)
