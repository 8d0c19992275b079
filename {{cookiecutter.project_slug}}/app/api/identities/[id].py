"""/api/identities/7: one account elsewhere."""

from app.core.errors import Conflict, Forbidden, NotFound
from app.core.problems import problems
from app.core.types import Id
from app.deps import Client, Db, FreshUser
from app.services import identities
from filerouter import RouteConfig, operation

config = RouteConfig(responses=problems(NotFound, Forbidden, Conflict))


@operation(status_code=204)
async def delete(id: Id, user: FreshUser, db: Db, client: Client) -> None:
    """Unlink it, unless it is the only way into your account."""
    await identities.unlink(db, user, client, id)
