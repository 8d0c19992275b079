"""/api/me: your account."""

from app.core.errors import Forbidden
from app.core.problems import problems
from app.deps import Client, CurrentUser, Db, FreshUser
from app.schemas.users import User, UserChange
from app.services import users
from filerouter import operation


async def get(user: CurrentUser) -> User:
    """Read your account."""
    return User.model_validate(user)


async def patch(changes: UserChange, user: CurrentUser, db: Db, client: Client) -> User:
    """Change your name."""
    return await users.change(db, user, changes, client)


@operation(status_code=202, responses=problems(Forbidden))
async def delete(user: FreshUser, db: Db, client: Client) -> User:
    """Delete your account in two weeks; `DELETE /api/me/deletion` cancels that."""
    return await users.plan_deletion(db, user, client)
