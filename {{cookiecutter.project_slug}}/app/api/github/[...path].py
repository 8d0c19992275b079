"""/api/github/repos/python/cpython: GitHub, passed through with our token, for our users only."""

from typing import Annotated

from fastapi import Path, Request, Response

from app.core.errors import BadRequest, NotFound, TooManyRequests, UpstreamBusy, UpstreamFailed, UpstreamLate
from app.core.problems import problems
from app.core.types import Text
from app.deps import CurrentUser, Work
from app.services import github
from filerouter import RouteConfig, operation

config = RouteConfig(
    responses=problems(BadRequest, NotFound, TooManyRequests, UpstreamFailed, UpstreamBusy, UpstreamLate)
)
ANSWERS = {200: {"content": {"application/json": {"schema": {}}}}, 304: {"description": "Not Modified"}}
Tail = Annotated[Text, Path(max_length=200)]


@operation(response_class=Response, responses=ANSWERS)
async def get(path: Tail, request: Request, user: CurrentUser, work: Work) -> Response:
    """Read public data of GitHub: users, repositories, releases, readmes."""
    return await github.relay(work, user, request, path)
