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


async def create(db: AsyncSession, owner_id: int, new: ProductCreate) -> Product:
    """Add a product of this owner; Conflict when its SKU is taken."""
    row = await db.scalar(insert(Row).values(**new.model_dump(), owner_id=owner_id).returning(Row))
    return Product.model_validate(row)


async def _check(db: AsyncSession, owner_id: int, id: int, check: Check | None) -> None:
    """Lock the owner's row and look at it first, if there is a condition."""
    if check:
        mine = select(Row).where(Row.id == id, Row.owner_id == owner_id).with_for_update()
        check(_found(await db.scalar(mine), id))


async def change(
    db: AsyncSession, owner_id: int, id: int, changes: ProductChange, check: Check | None = None
) -> Product:
    """Change the named fields; NotFound unless it is the owner's, PreconditionFailed by the check."""
    await _check(db, owner_id, id, check)
    mine = update(Row).where(Row.id == id, Row.owner_id == owner_id)
    values = changes.model_dump(exclude_unset=True)
    return _found(await db.scalar(mine.values(**values).returning(Row)), id)


async def remove(db: AsyncSession, owner_id: int, id: int, check: Check | None = None) -> None:
    """Delete the product; NotFound unless it is the owner's, Conflict when it was ever ordered."""
    await _check(db, owner_id, id, check)
    mine = delete(Row).where(Row.id == id, Row.owner_id == owner_id)
    _found(await db.scalar(mine.returning(Row)), id)
