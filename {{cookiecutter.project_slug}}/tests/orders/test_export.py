"""An export of orders."""

from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.models import User
from app.orders.models import Order, OrderItem
from tests.exports.factories import build
from tests.factories import add_user
from tests.products.factories import add_product


async def test_an_export_contains_only_the_orders_of_its_owner(
    signed_in_client: AsyncClient, user: User, db: AsyncSession
):
    lamp, bob = await add_product(db), await add_user(db)
    for buyer in (user, bob):
        item = OrderItem(product_id=lamp.id, quantity=1, unit_price=lamp.price)
        db.add(Order(user_id=buyer.id, total=lamp.price, items=[item]))
    await db.commit()
    export = (await signed_in_client.post("/api/exports", json={"resource": "orders"})).json()
    assert await build(db, export["id"]) == {"rows": 1}
    header, row = (await signed_in_client.get(f"/api/exports/{export['id']}/file")).text.splitlines()
    assert header == "id,user_id,placed_at,product_id,quantity,unit_price"
    assert row.split(",")[1] == str(user.id)
