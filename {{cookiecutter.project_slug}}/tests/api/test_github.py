"""GET /api/github/{path}: passed through with our token. tests/core/test_relay.py has what a relay does."""

from collections.abc import AsyncIterator

import pytest
from httpx2 import AsyncClient
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.throttle import Limit
from app.core.upstream.breaker import Breaker
from app.services import limits
from app.upstreams.github import github
from tests.factories import add_user, signed_in
from tests.scripted import Scripted, answer, scripted


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
async def test_public_data_passes(member: AsyncClient, hub: Scripted, path: str):
    hub[f"/{path.partition('?')[0]}"] = answer('{"id": 1}', etag='W/"1"', link="<2>", x_github_request_id="1")
    got = await member.get(f"/api/github/{path}")
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
async def test_proxy_13_all_else_is_404_and_not_asked_for(member: AsyncClient, hub: Scripted, path: str):
    assert (await member.get(f"/api/github/{path}")).status_code == 404
    assert hub.asked == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE"])
async def test_proxy_15_reading_only(member: AsyncClient, hub: Scripted, method: str):
    assert (await member.request(method, "/api/github/repos/a/b")).status_code == 405
    assert hub.asked == []


async def test_proxy_13_strangers_cannot_use_our_token(client: AsyncClient, hub: Scripted):
    assert (await client.get("/api/github/users/ada")).status_code == 401
    assert hub.asked == []


async def test_proxy_13_nobody_uses_up_our_quota(
    member: AsyncClient, db: AsyncSession, hub: Scripted, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "COSTLY", Limit("costly", 3, 60))
    hub["/users/ada"] = answer("{}")
    statuses = [(await member.get("/api/github/users/ada")).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    assert len(hub.asked) == 3
    member.cookies = await signed_in(db, await add_user(db))
    assert (await member.get("/api/github/users/ada")).status_code == 200, "others are not held up"


async def test_a_dead_github_is_502(member: AsyncClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(github.exchange, "breaker", Breaker())
    got = await member.get("/api/github/repos/a/b")
    assert (got.status_code, got.json()["detail"]) == (502, "github does not answer.")
