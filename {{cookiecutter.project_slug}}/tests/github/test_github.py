"""GET /api/github/{path}: GitHub's API with our token. The platform's tests cover the proxy itself."""

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from pydantic import SecretStr
from saaskit.ratelimit import Limit
from saaskit.settings import UpstreamSettings
from saaskit.testing import UpstreamServer, closed_upstreams, respond, upstream_server
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.models import User
from app.state import State
from tests.factories import add_user, sign_in, use_up


@pytest.fixture
async def github() -> AsyncIterator[UpstreamServer]:
    """GitHub's API."""
    async with upstream_server() as server:
        yield server


@pytest.fixture
def upstreams(app: FastAPI, github: UpstreamServer) -> dict[str, UpstreamSettings]:
    ours = UpstreamSettings(base_url=github.url, secret=SecretStr("ghp_ours"))
    return closed_upstreams() | {"github": ours}


@pytest.mark.parametrize(
    "path", ["users/ada", "repos/a/b", "repos/a/b/releases?per_page=1", "repos/a/b/readme", "repos/a%20b/c"]
)
async def test_public_data_is_forwarded(signed_in_client: AsyncClient, github: UpstreamServer, path: str):
    github[f"/{path.partition('?')[0]}"] = respond(
        '{"id": 1}', etag='W/"1"', link="<2>", x_github_request_id="1"
    )
    response = await signed_in_client.get(f"/api/github/{path}")
    assert (response.status_code, response.json()) == (200, {"id": 1})
    (request,) = github.requests
    assert request.target == f"/{path}"
    assert request.header("authorization") == ["Bearer ghp_ours"]
    assert request.header("accept") == ["application/vnd.github+json"]
    assert request.header("user-agent") == ["Acme"]
    assert (response.headers["etag"], response.headers["link"]) == ('W/"1"', "<2>")
    assert "x-github-request-id" not in response.headers


@pytest.mark.requirement("PROXY-13")
@pytest.mark.parametrize(
    "path",
    ["user", "user/repos", "repos/a", "repos/a/b/contents/c", "orgs/a/../../user", "gists", "users/ada/keys"],
)
async def test_other_paths_are_404_and_not_requested(
    signed_in_client: AsyncClient, github: UpstreamServer, path: str
):
    assert (await signed_in_client.get(f"/api/github/{path}")).status_code == 404
    assert github.requests == []


@pytest.mark.requirement("PROXY-15")
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE"])
async def test_other_methods_are_405(signed_in_client: AsyncClient, github: UpstreamServer, method: str):
    assert (await signed_in_client.request(method, "/api/github/repos/a/b")).status_code == 405
    assert github.requests == []


@pytest.mark.requirement("PROXY-13")
async def test_anonymous_clients_cannot_use_our_token(client: AsyncClient, github: UpstreamServer):
    assert (await client.get("/api/github/users/ada")).status_code == 401
    assert github.requests == []


@pytest.mark.requirement("PROXY-13")
async def test_a_user_can_make_sixty_requests_a_minute(
    signed_in_client: AsyncClient,
    new_client,
    user: User,
    state: State,
    db: AsyncSession,
    github: UpstreamServer,
):
    github["/users/ada"] = respond("{}")
    await use_up(state, Limit("github", max_requests=60, seconds=60), str(user.id), leave=1)
    assert (await signed_in_client.get("/api/github/users/ada")).status_code == 200
    assert (await signed_in_client.get("/api/github/users/ada")).status_code == 429
    assert len(github.requests) == 1
    other = new_client()
    other.cookies = await sign_in(db, await add_user(db))
    assert (await other.get("/api/github/users/ada")).status_code == 200
