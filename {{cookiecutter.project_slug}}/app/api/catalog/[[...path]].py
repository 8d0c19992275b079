"""/api/catalog and everything below it: an optional catch-all is its own root, too."""

from typing import Annotated

from fastapi import Path

from app.core.errors import NotFound
from app.core.problems import problems
from app.core.types import Text
from app.deps import Db
from app.schemas.catalog import Catalog
from app.services import catalog
from filerouter import RouteConfig

config = RouteConfig(public=True, responses=problems(NotFound))


async def get(db: Db, path: Annotated[Text, Path(max_length=200)] = "") -> Catalog:
    """Walk the shop's categories, one level at a time."""
    return await catalog.browse(db, path)
