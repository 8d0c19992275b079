"""/api/catalog and everything below it: an optional catch-all is its own root, too."""

from app.core.errors import NotFound
from app.core.problems import problems
from app.deps import Db
from app.schemas.catalog import Catalog, CatalogPath
from app.services import catalog
from filerouter import RouteConfig

config = RouteConfig(public=True, responses=problems(NotFound))


async def get(db: Db, path: CatalogPath = "") -> Catalog:
    """Walk the shop's categories, one level at a time."""
    return await catalog.browse(db, path)
