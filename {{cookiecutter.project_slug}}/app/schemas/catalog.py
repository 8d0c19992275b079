"""The shop's shelves."""

from typing import Annotated

from pydantic import StringConstraints

from app.core.schema import Output
from app.core.types import Text

CatalogPath = Annotated[Text, StringConstraints(max_length=200)]
"""A category, as in `audio/headphones`; empty for the root."""


class Shelf(Output):
    """A category that lies directly below the one asked for, and how many products it holds in all."""

    path: str
    products: int


class Catalog(Output):
    """One level of the category tree; the root's path is empty."""

    path: str
    shelves: list[Shelf]
