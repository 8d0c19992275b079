"""Products on the wire. Prices are decimals in strings: floats lose cents."""

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from app.core.paging import PageQuery
from app.core.schema import Input, Output, Unset
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
    """What is to be different, at least one field; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    name: Line = Unset
    description: Description = Unset
    category: Category = Unset
    price: Money = Unset
    stock: Count = Unset

    @model_validator(mode="after")
    def _something(self) -> "ProductChange":
        if not self.model_fields_set:
            raise ValueError("name at least one field to change")
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
