"""/api/products: the list of products."""

from typing import Annotated

from fastapi import Query, Request, Response
from filerouter import RouteConfig, operation
from saaskit.errors import Conflict, NotFound
from saaskit.web import Page, problems, set_link_header

from app.deps import CurrentUser, Db
from app.products import service as products
from app.products.schemas import Product, ProductCreate, ProductQuery

config = RouteConfig(public=True)


@operation(responses=problems(NotFound))
async def get(
    query: Annotated[ProductQuery, Query()], db: Db, request: Request, response: Response
) -> Page[Product]:
    """List products."""
    page = await products.list_page(db, query)
    set_link_header(request, response, page)
    return page


@operation(status_code=201, responses=problems(Conflict))
async def post(new: ProductCreate, user: CurrentUser, db: Db, response: Response) -> Product:
    """Create a product. Only you can change it."""
    product = await products.create(db, user.id, new)
    response.headers["Location"] = f"/api/products/{product.id}"
    return product
