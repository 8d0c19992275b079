"""/api/users/{user_id}/orders."""

import asyncio
from collections.abc import Callable

import pytest
from httpx2 import AsyncClient
from saaskit.db import create_engine, create_sessionmaker
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.models import User
from app.orders import service as orders
from app.orders.models import Order, OrderItem
from app.orders.schemas import OrderCreate
from app.products.models import Product
from tests.factories import add_user
from tests.products.factories import add_product


async def test_an_order_takes_items_from_the_stock_at_the_current_price(
    signed_in_client: AsyncClient, user: User, db: AsyncSession
):
    lamp = await add_product(db, price="0.10", stock=5)
    desk = await add_product(db, price="199.99", stock=1)
    items = [{"product_id": desk.id, "quantity": 1}, {"product_id": lamp.id, "quantity": 3}]
    response = await signed_in_client.post(f"/api/users/{user.id}/orders", json={"items": items})
    assert response.status_code == 201
    assert response.json()["total"] == "200.29"
    stocks = {p.id: p.stock for p in await _reread(db, lamp, desk)}
    assert stocks == {lamp.id: 2, desk.id: 0}


async def _reread(db: AsyncSession, *products: Product) -> list[Product]:
    for product in products:
        await db.refresh(product)
    return list(products)


async def test_the_list_is_one_query_newest_first(
    signed_in_client: AsyncClient, user: User, db: AsyncSession, queries
):
    lamp = await add_product(db)
    for quantity in (1, 2):
        body = {"items": [{"product_id": lamp.id, "quantity": quantity}]}
        await signed_in_client.post(f"/api/users/{user.id}/orders", json=body)
    with queries() as sent:
        response = await signed_in_client.get(f"/api/users/{user.id}/orders")
    assert len(sent) == 2  # the session, and the orders
    assert [order["items"][0]["quantity"] for order in response.json()["items"]] == [2, 1]


async def test_a_long_list_is_read_by_cursor(signed_in_client: AsyncClient, user: User, db: AsyncSession):
    lamp = await add_product(db)
    body = {"items": [{"product_id": lamp.id, "quantity": 1}]}
    placed = [
        (await signed_in_client.post(f"/api/users/{user.id}/orders", json=body)).json()["id"]
        for _ in range(5)
    ]
    read, query = [], "?limit=2"
    while query:
        page = (await signed_in_client.get(f"/api/users/{user.id}/orders{query}")).json()
        read.append([order["id"] for order in page["items"]])
        query = page["next"] and f"?limit=2&cursor={page['next']}"
    assert read == [placed[:-3:-1], placed[-3:-5:-1], placed[:1]]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "cursor=0", "cursor=x", "page=2"])
async def test_an_invalid_query_is_422(signed_in_client: AsyncClient, user: User, query: str):
    assert (await signed_in_client.get(f"/api/users/{user.id}/orders?{query}")).status_code == 422


async def test_a_user_without_orders_has_an_empty_list(
    signed_in_client: AsyncClient, user: User, db: AsyncSession
):
    assert (await signed_in_client.get(f"/api/users/{user.id}/orders")).json() == {"items": [], "next": None}


async def test_another_users_orders_are_404(signed_in_client: AsyncClient, db: AsyncSession):
    lamp, another = await add_product(db), await add_user(db)
    body = {"items": [{"product_id": lamp.id, "quantity": 1}]}
    for other in (another.id, 9999999):
        for response in (
            await signed_in_client.get(f"/api/users/{other}/orders"),
            await signed_in_client.post(f"/api/users/{other}/orders", json=body),
        ):
            assert response.status_code == 404
            assert response.json()["detail"] == f"There is no user {other}."


async def test_anonymous_clients_get_401(client: AsyncClient, user: User):
    assert (await client.get(f"/api/users/{user.id}/orders")).status_code == 401


async def test_more_than_the_stock_is_409_and_takes_nothing(
    signed_in_client: AsyncClient, user: User, db: AsyncSession
):
    lamp, desk = await add_product(db, stock=5), await add_product(db, stock=1)
    items = [{"product_id": lamp.id, "quantity": 5}, {"product_id": desk.id, "quantity": 2}]
    response = await signed_in_client.post(f"/api/users/{user.id}/orders", json={"items": items})
    assert response.status_code == 409
    assert response.json()["detail"] == f"Only 1 of product {desk.id} are left."
    assert [product.stock for product in await _reread(db, lamp, desk)] == [5, 1]


@pytest.mark.parametrize("items", [[], [{"product_id": 1, "quantity": 0}], [{"product_id": 1}]], ids=str)
async def test_an_invalid_order_is_422(
    signed_in_client: AsyncClient, user: User, db: AsyncSession, items: list
):
    assert (
        await signed_in_client.post(f"/api/users/{user.id}/orders", json={"items": items})
    ).status_code == 422


@pytest.mark.requirement("INPUT-11")
@pytest.mark.parametrize("extra", ["unit_price", "total", "user_id", "placed_at", "status", "next"])
async def test_clients_cannot_set_price_owner_or_state(
    signed_in_client: AsyncClient, user: User, db: AsyncSession, extra: str
):
    lamp = await add_product(db, price="9.00")
    line = {"product_id": lamp.id, "quantity": 1}
    for body in ({"items": [line | {extra: 1}]}, {"items": [line], extra: 1}):
        response = await signed_in_client.post(f"/api/users/{user.id}/orders", json=body)
        assert response.status_code == 422
        assert response.json()["errors"][0]["field"].endswith(extra)
    assert (await signed_in_client.get(f"/api/users/{user.id}/orders")).json() == {"items": [], "next": None}


async def test_an_unknown_product_is_409(signed_in_client: AsyncClient, user: User, db: AsyncSession):
    body = {"items": [{"product_id": 9999999, "quantity": 1}]}
    response = await signed_in_client.post(f"/api/users/{user.id}/orders", json=body)
    assert (response.status_code, response.json()["detail"]) == (409, "Product 9999999 is not for sale.")


async def test_items_of_the_same_product_add_up(signed_in_client: AsyncClient, user: User, db: AsyncSession):
    lamp = await add_product(db, price="2.50", stock=3)
    body = {"items": [{"product_id": lamp.id, "quantity": 1}, {"product_id": lamp.id, "quantity": 2}]}
    response = await signed_in_client.post(f"/api/users/{user.id}/orders", json=body)
    items = [{"product_id": lamp.id, "quantity": 3, "unit_price": "2.50"}]
    assert (response.json()["items"], response.json()["total"]) == (items, "7.50")


async def test_an_ordered_product_cannot_be_deleted(
    signed_in_client: AsyncClient, user: User, db: AsyncSession
):
    lamp, ada = await add_product(db, owner_id=user.id), await add_user(db)
    item = OrderItem(product_id=lamp.id, quantity=1, unit_price=lamp.price)
    db.add(Order(user_id=ada.id, total=lamp.price, items=[item]))
    await db.commit()
    response = await signed_in_client.delete(f"/api/products/{lamp.id}")
    assert response.status_code == 409
    assert response.json()["detail"] == "This product was ordered and cannot be deleted."


@pytest.fixture
def url(new_database: Callable[[str], str]) -> str:
    """A database of its own, because concurrent orders need several connections."""
    return new_database("stock")


async def test_the_last_item_is_sold_once(url: str):
    engine = create_engine(url, pool_size=10)
    sessions = create_sessionmaker(engine)
    async with sessions() as db:
        lamp, ada = await add_product(db, stock=1), await add_user(db)
    order = OrderCreate.model_validate({"items": [{"product_id": lamp.id, "quantity": 1}]})

    async def buy() -> None:
        async with sessions.begin() as db:
            await orders.place(db, ada.id, order)

    results = await asyncio.gather(*(buy() for _ in range(8)), return_exceptions=True)
    await engine.dispose()
    assert sorted(type(result).__name__ for result in results) == ["Conflict"] * 7 + ["NoneType"]
