"""/api/me/deletion: the scheduled deletion of your account."""

from app.accounts import users
from app.accounts.schemas import User
from app.deps import Client, CurrentUser, Db


async def delete(user: CurrentUser, db: Db, client: Client) -> User:
    """Cancel account deletion."""
    return await users.cancel_deletion(db, user, client)
