"""The columns of orders in an export."""

from typing import Any

from sqlalchemy import Select, select

from app.orders.models import Order, OrderItem


def select_rows(user_id: int) -> Select[*tuple[Any, ...]]:
    """Select the items that the user ordered."""
    item = OrderItem
    columns = (Order.id, Order.user_id, Order.placed_at, item.product_id, item.quantity, item.unit_price)
    rows = select(*columns).join(Order.items).order_by(Order.id, item.product_id)
    return rows.where(Order.user_id == user_id)
