"""Orders: list and place."""

from collections import Counter
from decimal import Decimal

from saaskit.errors import Conflict
from saaskit.web import CursorPage, CursorQuery, cursor_page
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager

from app.orders import models
from app.orders.schemas import Order, OrderCreate
from app.products.models import Product


async def list_for_user(db: AsyncSession, user_id: int, query: CursorQuery) -> CursorPage[Order]:
    """Return a page of the user's orders with their items, newest first, in one query."""
    order = models.Order
    page = select(order.id).where(order.user_id == user_id).order_by(order.id.desc()).limit(query.limit + 1)
    if query.cursor:
        page = page.where(order.id < query.cursor)
    rows = (
        select(order)
        .join(order.items)
        .options(contains_eager(order.items))
        .where(order.id.in_(page))
        .order_by(order.id.desc(), models.OrderItem.product_id)
    )
    found = [Order.model_validate(row) for row in (await db.scalars(rows)).unique()]
    return cursor_page(Order, found, query.limit)


async def place(db: AsyncSession, user_id: int, new: OrderCreate) -> Order:
    """Place an order: take the items from the stock at their current prices.

    Raises Conflict if a product does not exist or its stock is too small. Products are locked in the order of
    their ids, so that concurrent orders cannot deadlock.
    """
    quantities = Counter[int]()
    for item in new.items:
        quantities[item.product_id] += item.quantity
    locked = select(Product).where(Product.id.in_(quantities)).order_by(Product.id).with_for_update()
    products = (await db.scalars(locked)).all()
    if missing := quantities.keys() - {product.id for product in products}:
        raise Conflict(f"Product {min(missing)} is not for sale.")
    for product in products:
        if product.stock < quantities[product.id]:
            raise Conflict(f"Only {product.stock} of product {product.id} are left.")
        product.stock -= quantities[product.id]
    items = [
        models.OrderItem(product_id=product.id, quantity=quantities[product.id], unit_price=product.price)
        for product in products
    ]
    total = sum((item.quantity * item.unit_price for item in items), Decimal(0))
    order = models.Order(user_id=user_id, total=total, items=items)
    db.add(order)
    await db.flush()
    return Order.model_validate(order)
