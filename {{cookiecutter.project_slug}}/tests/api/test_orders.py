"""/api/users/{user_id}/orders."""

import asyncio
from collections.abc import Callable

import pytest
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db import create_engine, create_sessions
from app.models.products import Product
from app.models.users import User
from app.schemas.orders import OrderCreate
from app.services import orders
from tests.factories import add_user
from tests.products import add_product


async def test_buying_takes_from_the_stock_at_todays_price(member: AsyncClient, user: User, db: AsyncSession):
    lamp = await add_product(db, price="0.10", stock=5)
    desk = await add_product(db, price="199.99", stock=1)
    items = [{"product_id": desk.id, "quantity": 1}, {"product_id": lamp.id, "quantity": 3}]
    answer = await member.post(f"/api/users/{user.id}/orders", json={"items": items})
    assert answer.status_code == 201
    assert answer.json()["total"] == "200.29"
    stocks = {p.id: p.stock for p in await _reread(db, lamp, desk)}
    assert stocks == {lamp.id: 2, desk.id: 0}


async def _reread(db: AsyncSession, *products: Product) -> list[Product]:
    for product in products:
        await db.refresh(product)
    return list(products)


async def test_the_list_is_one_query_newest_first(member: AsyncClient, user: User, db: AsyncSession, queries):
    lamp = await add_product(db)
    for quantity in (1, 2):
        body = {"items": [{"product_id": lamp.id, "quantity": quantity}]}
        await member.post(f"/api/users/{user.id}/orders", json=body)
    with queries() as sent:
        answer = await member.get(f"/api/users/{user.id}/orders")
    assert len(sent) == 2  # who asks, and the orders
    assert [order["items"][0]["quantity"] for order in answer.json()["items"]] == [2, 1]


async def test_a_long_list_is_read_by_cursor(member: AsyncClient, user: User, db: AsyncSession):
    lamp = await add_product(db)
    body = {"items": [{"product_id": lamp.id, "quantity": 1}]}
    placed = [(await member.post(f"/api/users/{user.id}/orders", json=body)).json()["id"] for _ in range(5)]
    read, query = [], "?limit=2"
    while query:
        page = (await member.get(f"/api/users/{user.id}/orders{query}")).json()
        read.append([order["id"] for order in page["items"]])
        query = page["next"] and f"?limit=2&cursor={page['next']}"
    assert read == [placed[:-3:-1], placed[-3:-5:-1], placed[:1]]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "cursor=0", "cursor=x", "page=2"])
async def test_a_bad_query_of_orders_is_422(member: AsyncClient, user: User, query: str):
    assert (await member.get(f"/api/users/{user.id}/orders?{query}")).status_code == 422


async def test_a_user_without_orders_has_an_empty_list(member: AsyncClient, user: User, db: AsyncSession):
    assert (await member.get(f"/api/users/{user.id}/orders")).json() == {"items": [], "next": None}


async def test_anybody_else_is_404(member: AsyncClient, db: AsyncSession):
    lamp, somebody = await add_product(db), await add_user(db)
    body = {"items": [{"product_id": lamp.id, "quantity": 1}]}
    for other in (somebody.id, 9999999):
        for answer in (
            await member.get(f"/api/users/{other}/orders"),
            await member.post(f"/api/users/{other}/orders", json=body),
        ):
            assert answer.status_code == 404
            assert answer.json()["detail"] == f"There is no user {other}."


async def test_strangers_are_401(client: AsyncClient, user: User):
    assert (await client.get(f"/api/users/{user.id}/orders")).status_code == 401


async def test_more_than_the_stock_is_409_and_takes_nothing(
    member: AsyncClient, user: User, db: AsyncSession
):
    lamp, desk = await add_product(db, stock=5), await add_product(db, stock=1)
    items = [{"product_id": lamp.id, "quantity": 5}, {"product_id": desk.id, "quantity": 2}]
    answer = await member.post(f"/api/users/{user.id}/orders", json={"items": items})
    assert answer.status_code == 409
    assert answer.json()["detail"] == f"Only 1 of product {desk.id} are left."
    assert [product.stock for product in await _reread(db, lamp, desk)] == [5, 1]


@pytest.mark.parametrize("items", [[], [{"product_id": 1, "quantity": 0}], [{"product_id": 1}]], ids=str)
async def test_a_bad_order_is_422(member: AsyncClient, user: User, db: AsyncSession, items: list):
    assert (await member.post(f"/api/users/{user.id}/orders", json={"items": items})).status_code == 422


@pytest.mark.parametrize("extra", ["unit_price", "total", "user_id", "placed_at", "status", "next"])
async def test_input_11_price_owner_and_state_are_ours_to_say(
    member: AsyncClient, user: User, db: AsyncSession, extra: str
):
    lamp = await add_product(db, price="9.00")
    line = {"product_id": lamp.id, "quantity": 1}
    for body in ({"items": [line | {extra: 1}]}, {"items": [line], extra: 1}):
        answer = await member.post(f"/api/users/{user.id}/orders", json=body)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"].endswith(extra)
    assert (await member.get(f"/api/users/{user.id}/orders")).json() == {"items": [], "next": None}


async def test_an_unknown_product_is_409(member: AsyncClient, user: User, db: AsyncSession):
    body = {"items": [{"product_id": 9999999, "quantity": 1}]}
    answer = await member.post(f"/api/users/{user.id}/orders", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (409, "Product 9999999 is not for sale.")


async def test_lines_of_one_product_add_up(member: AsyncClient, user: User, db: AsyncSession):
    lamp = await add_product(db, price="2.50", stock=3)
    body = {"items": [{"product_id": lamp.id, "quantity": 1}, {"product_id": lamp.id, "quantity": 2}]}
    answer = await member.post(f"/api/users/{user.id}/orders", json=body)
    items = [{"product_id": lamp.id, "quantity": 3, "unit_price": "2.50"}]
    assert (answer.json()["items"], answer.json()["total"]) == (items, "7.50")


@pytest.fixture
def url(new_database: Callable[[str], str]) -> str:
    """A database where buyers meet: the others' tests share a connection."""
    return new_database("stock")


async def test_the_last_one_is_sold_once(url: str):
    engine = create_engine(url, pool_size=10)
    sessions = create_sessions(engine)
    async with sessions() as db:
        lamp, ada = await add_product(db, stock=1), await add_user(db)
    order = OrderCreate.model_validate({"items": [{"product_id": lamp.id, "quantity": 1}]})

    async def buy() -> None:
        async with sessions.begin() as db:
            await orders.place(db, ada.id, order)

    results = await asyncio.gather(*(buy() for _ in range(8)), return_exceptions=True)
    await engine.dispose()
    assert sorted(type(result).__name__ for result in results) == ["Conflict"] * 7 + ["NoneType"]
