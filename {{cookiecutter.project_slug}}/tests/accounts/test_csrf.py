"""CSRF, and what surrounds every answer."""

import pytest

from app.core.csrf import is_ours
from app.services import events as trail
from tests.factories import new_address

FOREIGN = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "garbage"},
    {"sec-fetch-site": "cross-site", "origin": "https://test"},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://test"},
    {"origin": "https://test:8443"},
    {"origin": "https://test.evil.example"},
    {"origin": "https://TEST"},
    {"origin": ""},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_CSRF_1_CSRF_2_foreign_pages_change_nothing(member, headers):
    del member.headers["origin"]
    for method, path in (("PATCH", "/api/me"), ("DELETE", "/api/session"), ("POST", "/api/session")):
        answer = await member.request(method, path, content=b'{"name": "Eve"}', headers=headers)
        assert answer.status_code == 403
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await member.get("/api/me")).json()["name"] == "Ada Lindqvist"


async def test_CSRF_2_a_refusal_is_one_event(member, events):
    await member.patch("/api/me", json={"name": "Eve"}, headers={"sec-fetch-site": "cross-site"})
    assert (await events()).count("request.cross_site") == 1


async def test_CSRF_2_refusals_of_one_network_fill_no_table(member, events, caplog):
    """Beyond the limit they are in the log only; another network's are kept."""
    foreign = {"sec-fetch-site": "cross-site"}
    for _ in range(trail.REFUSED.most + 5):
        assert (await member.patch("/api/me", headers=foreign)).status_code == 403
    assert (await events()).count("request.cross_site") == trail.REFUSED.most
    assert sum("request.cross_site" in record.getMessage() for record in caplog.records) == 5
    member._transport.client = (new_address(), 1)
    await member.patch("/api/me", headers=foreign)
    assert (await events()).count("request.cross_site") == trail.REFUSED.most + 1


@pytest.mark.parametrize("site", ["same-origin", "none"])
async def test_our_own_pages_may(member, site):
    del member.headers["origin"]
    answer = await member.patch("/api/me", json={"name": "Ada King"}, headers={"sec-fetch-site": site})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"x-http-method-override": "DELETE"}, {"x-method-override": "DELETE"}, {"x-http-method": "DELETE"}],
    ids=str,
)
async def test_CSRF_3_methods_cannot_be_overridden(member, headers):
    assert (await member.get("/api/session?_method=DELETE", headers=headers)).status_code == 200
    assert (await member.get("/api/session")).status_code == 200


async def test_CSRF_3_HTTP_7_unknown_methods_are_405(member):
    for method in ("TRACE", "CONNECT", "BREW"):
        answer = await member.request(method, "/api/session")
        assert answer.status_code == 405
        assert "session=" not in answer.text


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://sub.test", "https://test.evil.example"]
)
async def test_CSRF_4_no_foreign_page_reads_an_answer(member, origin):
    preflight = {"origin": origin, "access-control-request-method": "DELETE"}
    for answer in (
        await member.get("/api/me", headers={"origin": origin}),
        await member.options("/api/session", headers=preflight),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_CSRF_5_ACCT_1_HTTP_4_unknown_hosts_are_400(app, settings):
    import httpx2

    from app.main import create_app

    strict = create_app(settings.model_copy(update={"allowed_hosts": "test"}))
    transport = httpx2.ASGITransport(strict)
    async with httpx2.AsyncClient(transport=transport, base_url="https://test") as client:
        for host in ("evil.test", "test.evil", "test@evil.test", "test:80@evil.test", "", "test,evil"):
            answer = await client.get("/api/health/", headers={"host": host})
            assert (answer.status_code, answer.headers.get("location")) == (400, None), host
            assert answer.headers["content-type"] == "application/problem+json"
        assert (await client.get("/api/health", headers={"host": "test:8443"})).status_code == 200


@pytest.mark.parametrize(
    "path", ["/api/session", "/api/me", "/api/nothing", "/api/session/", "/api/users/confirmation?token=x"]
)
async def test_CSRF_6_CSRF_8_security_headers(client, path):
    headers = (await client.get(path, headers={"accept": "text/html"})).headers
    policy = headers["content-security-policy"]
    for directive in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert directive in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == ("strict-origin" if "?" in path else "no-referrer")
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers


async def test_CSRF_7_what_was_sent_is_not_reflected_as_html(client):
    evil = "<script>alert(1)</script>"
    for answer in (
        await client.get(f"/api/{evil}"),
        await client.get("/api/users/confirmation", params={"token": evil}, headers={"accept": "text/html"}),
        await client.post("/api/users", json={"email": evil, "name": evil, "password": evil}),
        await client.get("/api/auth/callback/x", params={"error": evil, "error_description": evil}),
    ):
        assert "<script>" not in answer.text


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://test"])
async def test_CSRF_10_websockets_of_foreign_pages_are_refused(app, origin):
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    scope = {"type": "websocket", "path": "/x", "raw_path": b"/x", "query_string": b"", "scheme": "wss"}
    scope |= {"headers": [(b"host", b"test"), (b"origin", origin.encode())], "client": ("10.0.0.1", 1)}
    await app(scope | {"server": ("test", 443), "subprotocols": [], "extensions": {}}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_INPUT_3_the_trail_is_paged_within_bounds(member):
    for query in (
        "limit=1e9",
        "limit=0",
        "limit=-1",
        "limit=NaN",
        "limit=1&limit=1000",
        "before=x",
        "before=0",
        "offset=1",
        "sort=id",
    ):
        assert (await member.get(f"/api/me/events?{query}")).status_code == 422


def test_is_ours():
    from starlette.datastructures import Headers

    assert is_ours(Headers({}), "https://test")
    assert not is_ours(Headers({"cookie": "a=b"}), "https://test")
