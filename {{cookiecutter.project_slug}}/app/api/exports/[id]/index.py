"""/api/exports/7: one export."""

from filerouter import RouteConfig
from saaskit.errors import NotFound
from saaskit.types import Id
from saaskit.web import problems

from app.deps import CurrentUser, Db
from app.exports import service as exports
from app.exports.schemas import Export

config = RouteConfig(responses=problems(NotFound))


async def get(id: Id, user: CurrentUser, db: Db) -> Export:
    """Get an export and its status."""
    return await exports.get(db, user.id, id)
