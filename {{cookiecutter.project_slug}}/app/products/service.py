"""Products: list, get, create, update, delete."""

from saaskit.errors import NotFound
from saaskit.web import Page, Precondition, paginate
from sqlalchemy import ColumnElement, insert, or_, select
from sqlalchemy import delete as sql_delete
from sqlalchemy import update as sql_update
from sqlalchemy.ext.asyncio import AsyncSession

from app.products import models
from app.products.schemas import Product, ProductCreate, ProductQuery, ProductUpdate


async def list_page(db: AsyncSession, query: ProductQuery) -> Page[Product]:
    """Return a page of products, optionally of one category and its subcategories."""
    rows = select(models.Product).order_by(models.Product.id)
    if query.category:
        category = models.Product.category
        rows = rows.where(or_(category == query.category, category.startswith(query.category + "/")))
    return await paginate(db, rows, Product, query)


async def get(db: AsyncSession, product_id: int) -> Product:
    """Return the product; raises NotFound."""
    return _found(await db.get(models.Product, product_id), product_id)


async def create(db: AsyncSession, owner_id: int, new: ProductCreate) -> Product:
    """Create a product; raises Conflict if its SKU is taken."""
    row = insert(models.Product).values(**new.model_dump(), owner_id=owner_id).returning(models.Product)
    return Product.model_validate(await db.scalar(row))


async def update(
    db: AsyncSession,
    owner_id: int,
    product_id: int,
    changes: ProductUpdate,
    precondition: Precondition | None = None,
) -> Product:
    """Change the given fields; raises NotFound unless the product is the owner's, and PreconditionFailed."""
    await _check(db, owner_id, product_id, precondition)
    owned = sql_update(models.Product).where(*_is_owned(owner_id, product_id))
    values = changes.model_dump(exclude_unset=True)
    return _found(await db.scalar(owned.values(**values).returning(models.Product)), product_id)


async def delete(
    db: AsyncSession, owner_id: int, product_id: int, precondition: Precondition | None = None
) -> None:
    """Delete the product; raises NotFound as above, PreconditionFailed, and Conflict if it was ordered."""
    await _check(db, owner_id, product_id, precondition)
    owned = sql_delete(models.Product).where(*_is_owned(owner_id, product_id))
    _found(await db.scalar(owned.returning(models.Product)), product_id)


def _is_owned(owner_id: int, product_id: int) -> tuple[ColumnElement[bool], ...]:
    return models.Product.id == product_id, models.Product.owner_id == owner_id


async def _check(db: AsyncSession, owner_id: int, product_id: int, precondition: Precondition | None) -> None:
    """Lock the row and check the precondition, if there is one."""
    if precondition:
        owned = select(models.Product).where(*_is_owned(owner_id, product_id)).with_for_update()
        precondition(_found(await db.scalar(owned), product_id))


def _found(row: models.Product | None, product_id: int) -> Product:
    if row is None:
        raise NotFound(f"There is no product {product_id}.")
    return Product.model_validate(row)
