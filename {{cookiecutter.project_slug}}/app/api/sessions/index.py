"""/api/sessions: everywhere you are signed in."""

from app.core.errors import Forbidden
from app.core.problems import problems
from app.deps import Client, CurrentUser, Db, FreshUser
from app.schemas.sessions import SessionList
from app.services import sessions
from filerouter import operation


async def get(user: CurrentUser, db: Db) -> SessionList:
    """List your sessions, the last used one first."""
    return await sessions.of_user(db, user)


@operation(status_code=204, responses=problems(Forbidden))
async def delete(user: FreshUser, db: Db, client: Client) -> None:
    """Sign out everywhere else."""
    await sessions.end_others(db, user, client)
