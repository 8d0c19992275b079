"""Orders on the wire."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from app.core.schema import Input, Output, Query
from app.core.types import MAX_ID, WHOLE, Money, Ref


class OrderLine(Input):
    """How many of which product."""

    product_id: Ref
    quantity: Annotated[int, Field(ge=1, le=1000), WHOLE]


class OrderCreate(Input):
    """What somebody wants to buy, on up to 50 lines."""

    items: Annotated[list[OrderLine], Field(min_length=1, max_length=50)]


class OrderQuery(Query):
    """Which orders: `?cursor=…&limit=20`."""

    cursor: Annotated[int, Field(ge=1, le=MAX_ID)] | None = None
    """`next` of the page before."""
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class OrderItem(Output):
    """One line, at the price of that day."""

    product_id: int
    quantity: int
    unit_price: Money


class Order(Output):
    """A purchase. `total` is exact: the sum of quantity x unit price."""

    id: int
    user_id: int
    total: Money
    placed_at: datetime
    items: list[OrderItem]


class OrderList(Output):
    """Orders of one user, newest first. `next` is the cursor of the following page, null on the last."""

    items: list[Order]
    next: int | None
