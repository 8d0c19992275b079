"""/api/sessions: your sessions."""

from filerouter import operation
from saaskit.errors import Forbidden
from saaskit.web import problems

from app.accounts import sessions
from app.accounts.schemas import SessionList
from app.deps import Client, CurrentUser, Db, RecentUser


async def get(user: CurrentUser, db: Db) -> SessionList:
    """List your sessions, most recently used first."""
    return await sessions.list_for_user(db, user)


@operation(status_code=204, responses=problems(Forbidden))
async def delete(user: RecentUser, db: Db, client: Client) -> None:
    """Revoke all sessions except this one."""
    await sessions.end_others(db, user, client)
