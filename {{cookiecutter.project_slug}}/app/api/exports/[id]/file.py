"""GET /api/exports/7/file: the file of an export."""

from fastapi import Response
from filerouter import RouteConfig, operation
from saaskit.errors import NotFound
from saaskit.types import Id
from saaskit.web import problems

from app.deps import CurrentUser, Db
from app.exports import service as exports

config = RouteConfig(responses=problems(NotFound))
CSV = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}


@operation(response_class=Response, responses=CSV)
async def get(id: Id, user: CurrentUser, db: Db) -> Response:
    """Download the file of an export that is ready."""
    name, content = await exports.get_content(db, user.id, id)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type="text/csv; charset=utf-8", headers=headers)
