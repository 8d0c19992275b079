"""The example orders."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.orders.models import Order
from app.seed import seed


async def test_fifteen_users_have_two_orders(db: AsyncSession):
    await seed(db)
    orders_per_user = select(func.count()).select_from(Order).group_by(Order.user_id)
    assert (await db.scalars(orders_per_user)).all() == [2] * 15
