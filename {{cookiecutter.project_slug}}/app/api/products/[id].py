"""/api/products/7: one product."""

from app.core.errors import Conflict, NotFound
from app.core.problems import problems
from app.core.types import Id
from app.deps import CurrentUser, Db
from app.schemas.products import Product, ProductChange
from app.services import products
from filerouter import RouteConfig, operation

config = RouteConfig(public=True, responses=problems(NotFound))


async def get(id: Id, db: Db) -> Product:
    """Read a product."""
    return await products.find(db, id)


async def patch(id: Id, changes: ProductChange, user: CurrentUser, db: Db) -> Product:
    """Change the named fields of a product of yours."""
    return await products.change(db, user.id, id, changes)


@operation(status_code=204, responses=problems(Conflict))
async def delete(id: Id, user: CurrentUser, db: Db) -> None:
    """Delete a product of yours that was never ordered."""
    await products.remove(db, user.id, id)
