"""/api/sessions/7: one of your sessions."""

from filerouter import RouteConfig, operation
from saaskit.errors import Forbidden, NotFound
from saaskit.types import Id
from saaskit.web import problems

from app.accounts import sessions
from app.deps import Client, Db, RecentUser

config = RouteConfig(responses=problems(NotFound, Forbidden))


@operation(status_code=204)
async def delete(id: Id, user: RecentUser, db: Db, client: Client) -> None:
    """Revoke a session."""
    await sessions.end(db, user, client, id)
