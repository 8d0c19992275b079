"""/api/catalog and everything below it: an optional catch-all matches its own root, too."""

from filerouter import RouteConfig
from saaskit.errors import NotFound
from saaskit.web import problems

from app.deps import Db
from app.products.catalog import Category, CategoryPath, get_category

config = RouteConfig(public=True, responses=problems(NotFound))


async def get(db: Db, path: CategoryPath = "") -> Category:
    """Get a category and its subcategories."""
    return await get_category(db, path)
