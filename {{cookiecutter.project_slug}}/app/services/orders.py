"""Orders: what may be bought, and at which price."""

from collections import Counter
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager

from app.core.errors import Conflict
from app.models.orders import Order as Row
from app.models.orders import OrderItem as ItemRow
from app.models.products import Product
from app.schemas.orders import Order, OrderCreate, OrderList, OrderQuery


async def of_user(db: AsyncSession, user_id: int, query: OrderQuery) -> OrderList:
    """The user's orders with their items, newest first, in one query."""
    page = select(Row.id).where(Row.user_id == user_id).order_by(Row.id.desc()).limit(query.limit + 1)
    if query.cursor:
        page = page.where(Row.id < query.cursor)
    rows = (
        select(Row)
        .join(Row.items)
        .options(contains_eager(Row.items))
        .where(Row.id.in_(page))
        .order_by(Row.id.desc(), ItemRow.product_id)
    )
    found = [Order.model_validate(order) for order in (await db.scalars(rows)).unique()]
    items = found[: query.limit]
    return OrderList(items=items, next=items[-1].id if len(found) > query.limit else None)


async def place(db: AsyncSession, user_id: int, new: OrderCreate) -> Order:
    """Buy: take the items from the stock and fix their prices.

    Raises Conflict when a product is unknown or its stock too small. Rows are locked in order
    of id, so that two buyers never wait for each other.
    """
    wanted = Counter[int]()
    for item in new.items:
        wanted[item.product_id] += item.quantity
    locked = select(Product).where(Product.id.in_(wanted)).order_by(Product.id).with_for_update()
    products = (await db.scalars(locked)).all()
    if missing := wanted.keys() - {product.id for product in products}:
        raise Conflict(f"Product {min(missing)} is not for sale.")
    for product in products:
        if product.stock < wanted[product.id]:
            raise Conflict(f"Only {product.stock} of product {product.id} are left.")
        product.stock -= wanted[product.id]
    items = [ItemRow(product_id=p.id, quantity=wanted[p.id], unit_price=p.price) for p in products]
    total = sum((item.quantity * item.unit_price for item in items), Decimal(0))
    order = Row(user_id=user_id, total=total, items=items)
    db.add(order)
    await db.flush()
    return Order.model_validate(order)
