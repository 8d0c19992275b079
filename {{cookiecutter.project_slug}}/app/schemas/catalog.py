"""The shop's shelves."""

from app.core.schema import Output


class Shelf(Output):
    """A category that lies directly below the one asked for, and how many products it holds in all."""

    path: str
    products: int


class Catalog(Output):
    """One level of the category tree; the root's path is empty."""

    path: str
    shelves: list[Shelf]
