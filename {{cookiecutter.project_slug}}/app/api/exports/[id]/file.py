"""GET /api/exports/{id}/file: the file that a job made."""

from uuid import UUID

from fastapi import Response

from app.core.errors import NotFound
from app.core.problems import problems
from app.deps import Db, Owner
from app.services import exports
from filerouter import RouteConfig, operation

config = RouteConfig(responses=problems(NotFound))


@operation(
    response_class=Response, responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
)
async def get(id: UUID, db: Db, owner: Owner) -> Response:
    """Download an export, when its job has succeeded."""
    file = await exports.find(db, owner, id)
    headers = {"Content-Disposition": f'attachment; filename="{file.name}"'}
    return Response(file.content, media_type=file.media_type, headers=headers)
