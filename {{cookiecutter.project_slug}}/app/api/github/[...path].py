"""/api/github/repos/python/cpython: GitHub, passed through with our token."""

from typing import Annotated

from fastapi import Path, Request, Response

from app.core.errors import NotFound, UpstreamBusy, UpstreamFailed, UpstreamLate
from app.core.problems import problems
from app.core.types import Text
from app.services import github
from filerouter import RouteConfig, operation

config = RouteConfig(public=True, responses=problems(NotFound, UpstreamFailed, UpstreamBusy, UpstreamLate))
ANSWERS = {200: {"content": {"application/json": {"schema": {}}}}, 304: {"description": "Not Modified"}}


@operation(response_class=Response, responses=ANSWERS)
async def get(path: Annotated[Text, Path(max_length=200)], request: Request) -> Response:
    """Read public data of GitHub: users, repositories, releases, readmes."""
    return await github.relay(request, path)
