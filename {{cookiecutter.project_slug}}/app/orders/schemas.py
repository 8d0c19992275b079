"""Request and response models of orders."""

from datetime import datetime
from typing import Annotated

from pydantic import Field
from saaskit.schema import Input, Output
from saaskit.types import BodyId, IntegralFloat, Money


class OrderItemCreate(Input):
    """A product and its quantity."""

    product_id: BodyId
    quantity: Annotated[int, Field(ge=1, le=1000), IntegralFloat]


class OrderCreate(Input):
    """A new order with 1 to 50 items."""

    items: Annotated[list[OrderItemCreate], Field(min_length=1, max_length=50)]


class OrderItem(Output):
    """An item, at the price when the order was placed."""

    product_id: int
    quantity: int
    unit_price: Money


class Order(Output):
    """An order. `total` is the exact sum of quantity x unit price."""

    id: int
    user_id: int
    total: Money
    placed_at: datetime
    items: list[OrderItem]
