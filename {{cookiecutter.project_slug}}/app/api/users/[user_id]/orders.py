"""/api/users/3/orders: the orders of a user."""

from typing import Annotated

from fastapi import Query
from filerouter import RouteConfig, operation
from saaskit.errors import Conflict, NotFound
from saaskit.types import Id
from saaskit.web import CursorPage, CursorQuery, problems

from app.deps import CurrentUser, Db
from app.orders import service as orders
from app.orders.schemas import Order, OrderCreate

config = RouteConfig(responses=problems(NotFound))


async def get(
    user_id: Id, query: Annotated[CursorQuery, Query()], user: CurrentUser, db: Db
) -> CursorPage[Order]:
    """List your orders, newest first."""
    return await orders.list_for_user(db, user.require_self(user_id), query)


@operation(status_code=201, responses=problems(Conflict))
async def post(user_id: Id, new: OrderCreate, user: CurrentUser, db: Db) -> Order:
    """Place an order. Takes the items from the stock at their current prices."""
    return await orders.place(db, user.require_self(user_id), new)
