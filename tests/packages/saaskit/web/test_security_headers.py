"""Security headers of every response."""

import pytest
from httpx2 import AsyncClient
from packages.saaskit.web.support import NewClient


@pytest.mark.requirement("CSRF-6")
@pytest.mark.requirement("CSRF-8")
@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/health", 200), ("/api/me", 401), ("/nothing", 404), ("/notes/x", 422), ("/bug", 500), ("/cookie", 200)],
)
async def test_every_response_has_them(client: AsyncClient, path: str, status: int):
    response = await client.get(path, headers={"accept": "text/html"})
    assert response.status_code == status
    assert response.headers["content-security-policy"] == "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cross-origin-opener-policy"] == "same-origin"
    assert response.headers["cross-origin-resource-policy"] == "same-origin"
    assert response.headers["cache-control"] == "no-store"
    assert "server" not in response.headers


@pytest.mark.parametrize("path", ["/docs", "/docs/start.js", "/docs/assets/swagger-ui.css", "/openapi.json"])
async def test_the_documentation_has_them(client: AsyncClient, path: str):
    headers = (await client.get(path)).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


async def test_a_response_may_set_its_own(client: AsyncClient):
    response = await client.get("/notes/1")
    assert response.headers.get_list("cache-control") == ["private, no-cache"]


HSTS = "max-age=63072000; includeSubDomains"


@pytest.mark.parametrize(("environment", "expected"), [("production", HSTS), ("test", None), ("development", None)])
@pytest.mark.parametrize(("path", "status"), [("/api/health", 200), ("/api/me", 401), ("/nothing", 404), ("/bug", 500)])
async def test_only_production_requires_https(
    new_client: NewClient, environment: str, expected: str | None, path: str, status: int
):
    async with new_client(environment=environment) as client:
        response = await client.get(path)
    assert (response.status_code, response.headers.get("strict-transport-security")) == (status, expected)


@pytest.mark.requirement("CSRF-4")
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://sub.test", "https://test.evil.example"])
async def test_no_other_origin_may_read_responses(client: AsyncClient, origin: str):
    preflight = {"origin": origin, "access-control-request-method": "DELETE"}
    read = await client.get("/notes/1", headers={"origin": origin})
    options = await client.options("/notes/1", headers=preflight)
    assert (read.status_code, options.status_code) == (200, 405)
    assert not [name for name in (*read.headers, *options.headers) if name.startswith("access-control")]
