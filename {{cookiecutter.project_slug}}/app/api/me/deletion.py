"""/api/me/deletion: the deletion that you asked for."""

from app.deps import Client, CurrentUser, Db
from app.schemas.users import User
from app.services import users


async def delete(user: CurrentUser, db: Db, client: Client) -> User:
    """Keep your account after all."""
    return await users.cancel_deletion(db, user, client)
