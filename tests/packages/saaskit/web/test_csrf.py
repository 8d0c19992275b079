"""Unsafe requests and WebSocket connections from other origins."""

import pytest
from httpx2 import AsyncClient
from packages.saaskit.web.support import ORIGIN, Refusals, assert_problem
from starlette.types import ASGIApp, Message

COOKIE = {"cookie": "__Host-session=x"}
CROSS_SITE = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "garbage"},
    {"sec-fetch-site": "cross-site", "origin": ORIGIN},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://test"},
    {"origin": "https://test:8443"},
    {"origin": "https://test.evil.example"},
    {"origin": "https://TEST"},
]
UNSAFE = [("POST", "/notes"), ("PATCH", "/notes/1"), ("DELETE", "/cookie"), ("PUT", "/cookie"), ("BREW", "/nothing")]


@pytest.mark.requirement("CSRF-1")
@pytest.mark.requirement("CSRF-2")
@pytest.mark.requirement("CSRF-11")
@pytest.mark.parametrize("cookie", [{}, COOKIE], ids=["without cookies", "with cookies"])
@pytest.mark.parametrize("headers", CROSS_SITE, ids=str)
async def test_other_sites_change_nothing(client: AsyncClient, headers: dict[str, str], cookie: dict[str, str]):
    for method, path in UNSAFE:
        response = await client.request(method, path, content=b'{"title": "Changed"}', headers=headers | cookie)
        assert_problem(response, 403, "This request came from another site.")
        assert "set-cookie" not in response.headers
    assert (await client.get("/notes/1")).json()["title"] == "First"


@pytest.mark.requirement("CSRF-2")
async def test_each_refusal_is_reported_once(client: AsyncClient, refusals: Refusals):
    await client.post("/notes", headers={"sec-fetch-site": "cross-site"})
    assert [(type(error).__name__, error.event) for error in refusals] == [("Forbidden", "request.cross_site")]


@pytest.mark.requirement("CSRF-2")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"origin": ""}, 201),
        (COOKIE, 403),
        (COOKIE | {"origin": ""}, 403),
        (COOKIE | {"sec-fetch-site": "", "origin": ""}, 403),
    ],
    ids=str,
)
async def test_a_request_that_names_no_origin_passes_without_cookies_only(
    client: AsyncClient, headers: dict[str, str], status: int
):
    assert (await client.post("/notes", json={"title": "New"}, headers=headers)).status_code == status


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}, {"origin": ORIGIN}], ids=str
)
async def test_our_own_pages_may_change_things(client: AsyncClient, headers: dict[str, str], refusals: Refusals):
    response = await client.patch("/notes/1", json={"title": "Changed"}, headers=headers | COOKIE)
    assert (response.status_code, response.json()["title"]) == (200, "Changed")
    assert refusals == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("headers", CROSS_SITE, ids=str)
async def test_links_from_other_sites_work(client: AsyncClient, headers: dict[str, str], method: str):
    assert (await client.request(method, "/notes/1", headers=headers | COOKIE)).status_code == 200


@pytest.mark.requirement("CSRF-3")
@pytest.mark.parametrize("header", ["x-http-method-override", "x-method-override", "x-http-method"])
async def test_methods_cannot_be_overridden(client: AsyncClient, header: str):
    response = await client.get("/cookie?_method=DELETE", headers={header: "DELETE"})
    assert (response.status_code, response.headers.get("set-cookie")) == (200, None)


async def connect(app: ASGIApp, *headers: tuple[bytes, bytes]) -> list[Message]:
    """Open a WebSocket connection and return the messages of the application."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/socket", "raw_path": b"/socket", "query_string": b"", "scheme": "wss"}
    scope |= {"headers": list(headers), "client": ("10.0.0.1", 1), "server": ("test", 443)}
    await app(scope | {"subprotocols": [], "extensions": {}, "state": {}}, receive, send)
    return sent


@pytest.mark.requirement("CSRF-10")
@pytest.mark.parametrize("origin", [b"https://evil.example", b"null", b"http://test", b""])
async def test_websockets_of_other_origins_are_refused(new_app, origin: bytes):
    sent = await connect(new_app(), (b"host", b"test"), (b"origin", origin))
    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize("headers", [[(b"origin", ORIGIN.encode())], []], ids=["our origin", "a program"])
async def test_websockets_of_our_origin_and_of_programs_are_accepted(new_app, headers: list[tuple[bytes, bytes]]):
    sent = await connect(new_app(), (b"host", b"test"), *headers)
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]


@pytest.mark.requirement("HTTP-4")
async def test_websockets_for_an_unknown_host_are_refused(new_app):
    sent = await connect(new_app(allowed_hosts="test"), (b"host", b"evil.example"), (b"origin", ORIGIN.encode()))
    assert sent == [{"type": "websocket.close", "code": 1008}]
