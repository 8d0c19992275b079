"""/api/files/guides/getting-started.md: a catch-all takes the rest of the path."""

from typing import Annotated

from fastapi import Path, Response

from app.core.errors import NotFound
from app.core.problems import problems
from app.core.types import Text
from app.deps import Db
from app.services import files
from filerouter import RouteConfig, operation

config = RouteConfig(public=True, responses=problems(NotFound))


@operation(response_class=Response, responses={200: {"content": {"*/*": {"schema": {"type": "string"}}}}})
async def get(path: Annotated[Text, Path(max_length=500)], db: Db) -> Response:
    """Download a file."""
    file = await files.find(db, path)
    return Response(file.content, media_type=file.media_type)
