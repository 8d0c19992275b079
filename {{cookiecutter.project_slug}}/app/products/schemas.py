"""Request and response models of products. Prices are decimals in strings, because floats lose cents."""

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints, model_validator
from saaskit.schema import Input, Output, Unset
from saaskit.types import Count, Money, SingleLine, Slug, Text
from saaskit.web import PageQuery

Category = Annotated[
    str,
    StringConstraints(max_length=200, pattern=r"^[a-z0-9]+(?:-[a-z0-9]+)*(?:/[a-z0-9]+(?:-[a-z0-9]+)*)*$"),
    Field(examples=["audio/headphones"]),
]
Description = Annotated[Text, StringConstraints(max_length=5000)]


class ProductCreate(Input):
    """A new product."""

    sku: Slug
    name: SingleLine
    description: Description = ""
    category: Category
    price: Money
    stock: Count = 0


class ProductUpdate(Input):
    """Changes to a product. At least one field is required; omitted fields stay the same."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    name: SingleLine = Unset
    description: Description = Unset
    category: Category = Unset
    price: Money = Unset
    stock: Count = Unset

    @model_validator(mode="after")
    def _require_a_field(self) -> "ProductUpdate":
        if not self.model_fields_set:
            raise ValueError("send at least one field to change")
        return self


class Product(Output):
    """A product."""

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
    """Filters and page of a product list."""

    category: Category | None = None
    """Only this category and its subcategories."""
