"""Products on the wire. Prices are decimals in strings: floats lose cents."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from app.core.paging import PageQuery
from app.core.schema import Input, Output
from app.core.types import Count, Line, Money, Slug, Text

Category = Annotated[
    str,
    StringConstraints(max_length=200, pattern=r"^[a-z0-9]+(?:-[a-z0-9]+)*(?:/[a-z0-9]+(?:-[a-z0-9]+)*)*$"),
    Field(examples=["audio/headphones"]),
]
Description = Annotated[Text, StringConstraints(max_length=5000)]


class ProductCreate(Input):
    """A product to be sold from now on."""

    sku: Slug
    name: Line
    description: Description = ""
    category: Category
    price: Money
    stock: Count = 0


class ProductChange(Input):
    """What is to be different; what is left out stays."""

    name: Line | None = None
    description: Description | None = None
    category: Category | None = None
    price: Money | None = None
    stock: Count | None = None

    @model_validator(mode="after")
    def _something(self) -> "ProductChange":
        if not self.model_fields_set:
            raise ValueError("name at least one field to change")
        if any(getattr(self, name) is None for name in self.model_fields_set):
            raise ValueError("a field cannot be emptied with null; leave it out to keep it")
        return self


class Product(Output):
    """A product as it is."""

    id: int
    sku: str
    name: str
    description: str
    category: str
    price: Money
    stock: int
    created_at: datetime
    updated_at: datetime


class ProductQuery(PageQuery):
    """Which products."""

    category: Category | None = None
    """Only this category and what lies below it."""
