"""/api/users/3/orders: what one user bought."""

from typing import Annotated

from fastapi import Query

from app.core.errors import Conflict, NotFound
from app.core.problems import problems
from app.core.types import Id
from app.deps import CurrentUser, Db
from app.schemas.orders import Order, OrderCreate, OrderList, OrderQuery
from app.services import orders
from filerouter import RouteConfig, operation

config = RouteConfig(responses=problems(NotFound))


async def get(user_id: Id, query: Annotated[OrderQuery, Query()], user: CurrentUser, db: Db) -> OrderList:
    """List your orders, newest first."""
    return await orders.of_user(db, user.only(user_id), query)


@operation(status_code=201, responses=problems(Conflict))
async def post(user_id: Id, new: OrderCreate, user: CurrentUser, db: Db) -> Order:
    """Place an order: takes the items from the stock, at today's prices."""
    return await orders.place(db, user.only(user_id), new)
