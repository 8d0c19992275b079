"""/api/files/guides/getting-started.md: a catch-all matches the rest of the path."""

from typing import Annotated

from fastapi import Path, Response
from filerouter import RouteConfig, operation
from saaskit.errors import NotFound
from saaskit.types import Text
from saaskit.web import problems

from app.deps import Db
from app.files import service as files

config = RouteConfig(public=True, responses=problems(NotFound))


@operation(response_class=Response, responses={200: {"content": {"*/*": {"schema": {"type": "string"}}}}})
async def get(path: Annotated[Text, Path(max_length=500)], db: Db) -> Response:
    """Download a file."""
    file = await files.get(db, path)
    return Response(file.content, media_type=file.media_type)
