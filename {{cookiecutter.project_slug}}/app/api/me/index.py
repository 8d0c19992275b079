"""/api/me: your account."""

from filerouter import operation
from saaskit.errors import Forbidden
from saaskit.web import problems

from app.accounts import users
from app.accounts.schemas import User, UserUpdate
from app.deps import Client, CurrentUser, Db, RecentUser


async def get(user: CurrentUser) -> User:
    """Get your account."""
    return User.model_validate(user)


async def patch(changes: UserUpdate, user: CurrentUser, db: Db, client: Client) -> User:
    """Change your name."""
    return await users.update_profile(db, user, changes, client)


@operation(status_code=202, responses=problems(Forbidden))
async def delete(user: RecentUser, db: Db, client: Client) -> User:
    """Delete your account in two weeks. `DELETE /api/me/deletion` cancels that."""
    return await users.schedule_deletion(db, user, client)
