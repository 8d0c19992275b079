"""The tables of orders and their items."""

from datetime import datetime
from decimal import Decimal

from saaskit.db import Base
from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Identity, Index, Numeric, func
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column, relationship


class Order(Base):
    """A purchase."""

    __tablename__ = "orders"
    __table_args__ = (
        ForeignKeyConstraint(
            ["user_id"], ["users.id"], info={"problem": "This user has orders, or does not exist."}
        ),
        Index(None, "user_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[Decimal] = mapped_column(Numeric(18, 2))
    """The sum of the items, computed once."""
    placed_at: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True), server_default=func.now())
    items: Mapped[list["OrderItem"]] = relationship(lazy="raise", order_by="OrderItem.product_id")


class OrderItem(Base):
    """One product of an order, at the price when the order was placed."""

    __tablename__ = "order_items"
    __table_args__ = (
        ForeignKeyConstraint(["order_id"], ["orders.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(
            ["product_id"],
            ["products.id"],
            info={"problem": "This product was ordered and cannot be deleted."},
        ),
        CheckConstraint("quantity > 0", name="quantity_positive"),
        Index(None, "product_id"),
    )

    order_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    product_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    quantity: Mapped[int]
    unit_price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
