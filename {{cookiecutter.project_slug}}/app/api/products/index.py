"""/api/products: the list, and new ones."""

from typing import Annotated

from fastapi import Query, Request, Response

from app.core.errors import Conflict, NotFound
from app.core.paging import Page, link
from app.core.problems import problems
from app.deps import CurrentUser, Db
from app.schemas.products import Product, ProductCreate, ProductQuery
from app.services import products
from filerouter import RouteConfig, operation

config = RouteConfig(public=True)


@operation(responses=problems(NotFound))
async def get(
    query: Annotated[ProductQuery, Query()], db: Db, request: Request, response: Response
) -> Page[Product]:
    """List products, page by page."""
    page = await products.browse(db, query)
    link(request, response, page)
    return page


@operation(status_code=201, responses=problems(Conflict))
async def post(new: ProductCreate, user: CurrentUser, db: Db, response: Response) -> Product:
    """Add a product, which only you can change."""
    product = await products.create(db, user.id, new)
    response.headers["Location"] = f"/api/products/{product.id}"
    return product
