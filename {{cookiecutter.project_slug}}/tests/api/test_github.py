"""GET /api/github/{path}: passed through with our token. tests/core/test_relay.py has what a relay does."""

from collections.abc import AsyncIterator

import pytest
from httpx2 import AsyncClient
from pydantic import SecretStr

from app.core.upstream.breaker import Breaker
from app.upstreams.github import github
from tests.upstream import Scripted, answer, scripted


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scripted]:
    async with scripted() as script:
        monkeypatch.setattr(github, "base_url", script.url)
        monkeypatch.setattr(github, "secret", SecretStr("ghp_ours"))
        monkeypatch.setattr(github.exchange, "breaker", Breaker())
        yield script
        await github.exchange.close()


@pytest.mark.parametrize(
    "path", ["users/ada", "repos/a/b", "repos/a/b/releases?per_page=1", "repos/a/b/readme", "repos/a%20b/c"]
)
async def test_public_data_passes(client: AsyncClient, hub: Scripted, path: str):
    hub[f"/{path.partition('?')[0]}"] = answer('{"id": 1}', etag='W/"1"', link="<2>", x_github_request_id="1")
    got = await client.get(f"/api/github/{path}")
    assert (got.status_code, got.json()) == (200, {"id": 1})
    (asked,) = hub.asked
    assert asked.target == f"/{path}"
    assert asked.header("authorization") == ["Bearer ghp_ours"]
    assert asked.header("accept") == ["application/vnd.github+json"]
    assert (got.headers["etag"], got.headers["link"]) == ('W/"1"', "<2>")
    assert "x-github-request-id" not in got.headers


@pytest.mark.parametrize(
    "path",
    ["user", "user/repos", "repos/a", "repos/a/b/contents/c", "orgs/a/../../user", "gists", "users/ada/keys"],
)
async def test_proxy_13_all_else_is_404_and_not_asked_for(client: AsyncClient, hub: Scripted, path: str):
    assert (await client.get(f"/api/github/{path}")).status_code == 404
    assert hub.asked == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE"])
async def test_proxy_15_reading_only(client: AsyncClient, hub: Scripted, method: str):
    assert (await client.request(method, "/api/github/repos/a/b")).status_code == 405
    assert hub.asked == []


async def test_a_dead_github_is_502(client: AsyncClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(github.exchange, "breaker", Breaker())
    got = await client.get("/api/github/repos/a/b")
    assert (got.status_code, got.json()["detail"]) == (502, "github does not answer.")
