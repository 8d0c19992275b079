"""/api/sessions/7: one place where you are signed in."""

from app.core.errors import Forbidden, NotFound
from app.core.problems import problems
from app.core.types import Id
from app.deps import Client, Db, FreshUser
from app.services import sessions
from filerouter import RouteConfig, operation

config = RouteConfig(responses=problems(NotFound, Forbidden))


@operation(status_code=204)
async def delete(id: Id, user: FreshUser, db: Db, client: Client) -> None:
    """Sign out there."""
    await sessions.end(db, user, client, id)
