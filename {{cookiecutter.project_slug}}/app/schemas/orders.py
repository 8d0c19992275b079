"""Orders on the wire."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, model_validator

from app.core.schema import Input, Output
from app.core.types import Money


class OrderLine(Input):
    """How many of which product."""

    product_id: Annotated[int, Field(ge=1, le=2**63 - 1)]
    quantity: Annotated[int, Field(ge=1, le=1000)]


class OrderCreate(Input):
    """What somebody wants to buy: up to 50 different products."""

    items: Annotated[list[OrderLine], Field(min_length=1, max_length=50)]

    @model_validator(mode="after")
    def _each_once(self) -> "OrderCreate":
        if len({item.product_id for item in self.items}) < len(self.items):
            raise ValueError("name each product once, with its whole quantity")
        return self


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
    """All orders of one user, newest first."""

    items: list[Order]
