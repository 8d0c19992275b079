"""/api/products/7: one product."""

from filerouter import RouteConfig, operation
from saaskit.errors import Conflict, NotFound, PreconditionFailed
from saaskit.types import Id
from saaskit.web import NOT_MODIFIED, Conditional, problems

from app.deps import CurrentUser, Db
from app.products import service as products
from app.products.schemas import Product, ProductUpdate

config = RouteConfig(public=True, responses=problems(NotFound))


@operation(responses=NOT_MODIFIED)
async def get(id: Id, db: Db, conditional: Conditional) -> Product:
    """Get a product."""
    return conditional.respond(await products.get(db, id))


@operation(responses=problems(PreconditionFailed))
async def patch(
    id: Id, changes: ProductUpdate, user: CurrentUser, db: Db, conditional: Conditional
) -> Product:
    """Change a product of yours. With `If-Match`, only the version that you have read."""
    product = await products.update(db, user.id, id, changes, conditional.precondition)
    return conditional.respond(product)


@operation(status_code=204, responses=problems(Conflict, PreconditionFailed))
async def delete(id: Id, user: CurrentUser, db: Db, conditional: Conditional) -> None:
    """Delete a product of yours that was never ordered. With `If-Match`, only the version you have read."""
    await products.delete(db, user.id, id, conditional.precondition)
