"""/api/github/repos/python/cpython: GitHub's API with our token, for signed-in users."""

from typing import Annotated

from fastapi import Path, Request, Response
from filerouter import RouteConfig, operation
from saaskit.errors import (
    BadGateway,
    BadRequest,
    GatewayTimeout,
    NotFound,
    TooManyRequests,
    UpstreamUnavailable,
)
from saaskit.ratelimit import Limit
from saaskit.types import Text
from saaskit.web import problems

from app.deps import limit_per_user
from app.github import github

config = RouteConfig(
    # All users share the token's quota.
    dependencies=[limit_per_user(Limit("github", max_requests=60, seconds=60))],
    responses=problems(
        BadRequest, NotFound, TooManyRequests, BadGateway, UpstreamUnavailable, GatewayTimeout
    ),
)
RESPONSES = {200: {"content": {"application/json": {"schema": {}}}}, 304: {"description": "Not Modified"}}


@operation(response_class=Response, responses=RESPONSES)
async def get(path: Annotated[Text, Path(max_length=200)], request: Request) -> Response:
    """Read public GitHub data: users, repositories, releases, readmes."""
    return await github.forward(request, path)
