"""/api/products/7: one product."""

from app.core.conditional import UNCHANGED, Conditional
from app.core.errors import Conflict, NotFound, PreconditionFailed
from app.core.problems import problems
from app.core.types import Id
from app.deps import CurrentUser, Db
from app.schemas.products import Product, ProductChange
from app.services import products
from filerouter import RouteConfig, operation

config = RouteConfig(public=True, responses=problems(NotFound))


@operation(responses=UNCHANGED)
async def get(id: Id, db: Db, http: Conditional) -> Product:
    """Read a product."""
    return http.answer(await products.find(db, id))


@operation(responses=problems(PreconditionFailed))
async def patch(id: Id, changes: ProductChange, user: CurrentUser, db: Db, http: Conditional) -> Product:
    """Change the named fields of a product of yours; with `If-Match`, only what the caller has read."""
    return http.answer(await products.change(db, user.id, id, changes, http.check))


@operation(status_code=204, responses=problems(Conflict, PreconditionFailed))
async def delete(id: Id, user: CurrentUser, db: Db, http: Conditional) -> None:
    """Delete a product of yours that was never ordered; with `If-Match`, only what the caller has read."""
    await products.remove(db, user.id, id, http.check)
