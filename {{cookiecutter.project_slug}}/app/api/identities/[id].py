"""/api/identities/7: one linked identity."""

from filerouter import RouteConfig, operation
from saaskit.errors import Conflict, Forbidden, NotFound
from saaskit.types import Id
from saaskit.web import problems

from app.accounts import identities
from app.deps import Client, Db, RecentUser

config = RouteConfig(responses=problems(NotFound, Forbidden, Conflict))


@operation(status_code=204)
async def delete(id: Id, user: RecentUser, db: Db, client: Client) -> None:
    """Unlink an identity, unless it is the only way to sign in to your account."""
    await identities.unlink(db, user, client, id)
