"""Frontends of other origins: `FRONTEND_ORIGINS` lets them send cookies, change things and read responses."""

from collections.abc import AsyncIterator, Callable

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient, Response
from packages.saaskit.web.support import ORIGIN, NewClient, Refusals, assert_problem
from packages.saaskit.web.test_csrf import COOKIE, connect

FRONTEND = "http://localhost:3000"
FRONTENDS = [FRONTEND, "https://app.example.com"]
OTHERS = [
    "http://localhost:30001",
    "http://localhost:300",
    "http://localhost:3001",
    "http://localhost",
    "https://localhost:3000",
    "http://LOCALHOST:3000",
    "http://localhost:3000/",
    "http://localhost:3000.evil.example",
    "https://app.example.com.evil.example",
    "https://evil.app.example.com",
    "https://example.com",
    "http://app.example.com",
    f"{FRONTEND}, https://evil.example",
    "null",
    "*",
]
SITES = ["same-site", "cross-site", None]
"""`Sec-Fetch-Site` of a frontend on the same site, on another one, and of an old browser."""


@pytest.fixture
async def api(new_client: NewClient) -> AsyncIterator[AsyncClient]:
    """A client of an application with two frontends."""
    async with new_client(frontend_origins=FRONTENDS) as client:
        yield client


def from_page(origin: str, site: str | None = "cross-site") -> dict[str, str]:
    """Return the headers of a request with cookies from a page of this origin."""
    return {"origin": origin} | COOKIE | ({"sec-fetch-site": site} if site else {})


def preflight(origin: str, method: str = "POST", headers: str = "content-type") -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": headers,
    }


def cors_headers(response: Response) -> list[str]:
    return [name for name in response.headers if name.startswith("access-control")]


def assert_readable(response: Response, origin: str = FRONTEND) -> None:
    """The browser gives the response to a page of this origin, which sent cookies."""
    assert response.headers.get_list("access-control-allow-origin") == [origin]
    assert response.headers["access-control-allow-credentials"] == "true"
    assert "origin" in response.headers["vary"].lower()


@pytest.mark.parametrize("origin", FRONTENDS)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_a_preflight_allows_the_methods_and_headers_of_the_api(api: AsyncClient, origin: str, method: str):
    names = "content-type,idempotency-key,if-match,if-none-match,last-event-id,x-request-id"
    response = await api.options("/notes/1", headers=preflight(origin, method, names))
    assert response.status_code == 200
    assert_readable(response, origin)
    assert method in response.headers["access-control-allow-methods"].split(", ")
    allowed = response.headers["access-control-allow-headers"].lower().split(", ")
    assert set(names.split(",")) <= set(allowed)
    assert "authorization" not in allowed


@pytest.mark.parametrize(("method", "header"), [("TRACE", "content-type"), ("POST", "x-other")])
async def test_a_preflight_refuses_other_methods_and_headers(api: AsyncClient, method: str, header: str):
    assert (await api.options("/notes/1", headers=preflight(FRONTEND, method, header))).status_code == 400


@pytest.mark.requirement("CSRF-4")
@pytest.mark.parametrize("origin", OTHERS)
async def test_other_origins_read_nothing(api: AsyncClient, origin: str):
    options = await api.options("/notes/1", headers=preflight(origin))
    read = await api.get("/notes/1", headers=from_page(origin))
    assert (options.status_code, read.status_code) == (405, 200)
    assert cors_headers(options) == cors_headers(read) == []
    assert "origin" in read.headers["vary"].lower()


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("origin", FRONTENDS)
async def test_a_frontend_reads_responses_and_their_headers(api: AsyncClient, origin: str, site: str | None):
    response = await api.get("/notes/1", headers=from_page(origin, site))
    assert (response.status_code, response.json()["title"]) == (200, "First")
    assert_readable(response, origin)
    exposed = response.headers["access-control-expose-headers"].split(", ")
    assert exposed == ["ETag", "Link", "Location", "Retry-After", "X-Request-ID"]
    assert response.headers["etag"]


@pytest.mark.requirement("CSRF-2")
@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("origin", FRONTENDS)
async def test_a_frontend_changes_things(api: AsyncClient, origin: str, site: str | None, refusals: Refusals):
    created = await api.post("/notes", json={"title": "New"}, headers=from_page(origin, site))
    changed = await api.patch("/notes/1", json={"title": "Changed"}, headers=from_page(origin, site))
    assert (created.status_code, changed.status_code, changed.json()["title"]) == (201, 200, "Changed")
    assert_readable(created, origin)
    assert_readable(changed, origin)
    assert refusals == []


@pytest.mark.requirement("CSRF-1")
@pytest.mark.requirement("CSRF-2")
@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("origin", OTHERS)
async def test_other_origins_change_nothing(api: AsyncClient, origin: str, site: str | None):
    response = await api.patch("/notes/1", json={"title": "Changed"}, headers=from_page(origin, site))
    assert_problem(response, 403, "This request came from another site.")
    assert cors_headers(response) == []
    assert (await api.get("/notes/1")).json()["title"] == "First"


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": ORIGIN},
        {"referer": f"{FRONTEND}/"} | COOKIE,
        COOKIE,
    ],
    ids=str,
)
async def test_a_request_that_does_not_name_the_frontend_is_refused_as_before(
    api: AsyncClient, headers: dict[str, str]
):
    assert (await api.post("/notes", json={"title": "New"}, headers=headers)).status_code == 403


async def test_our_own_pages_and_programs_work_as_before(api: AsyncClient):
    own = await api.post("/notes", json={"title": "New"}, headers={"origin": ORIGIN} | COOKIE)
    program = await api.post("/notes", json={"title": "New"})
    assert (own.status_code, program.status_code) == (201, 201)
    assert cors_headers(own) == cors_headers(program) == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/me", 401),
        ("GET", "/nothing", 404),
        ("PUT", "/notes/1", 405),
        ("POST", "/refused", 409),
        ("POST", "/notes", 422),
        ("GET", "/bug", 500),
    ],
)
async def test_a_frontend_reads_errors(api: AsyncClient, method: str, path: str, status: int):
    response = await api.request(method, path, headers=from_page(FRONTEND))
    assert_problem(response, status)
    assert_readable(response)


async def test_a_frontend_reads_errors_of_the_middleware(new_client: NewClient):
    async with new_client(frontend_origins=FRONTENDS, max_body_size=1024, allowed_hosts="test") as api:
        large = await api.post("/notes", content=b"x" * 2000, headers=from_page(FRONTEND))
        host = await api.get("/notes/1", headers=from_page(FRONTEND) | {"host": "evil.example"})
    assert_problem(large, 413)
    assert_problem(host, 400)
    assert_readable(large)
    assert_readable(host)


async def test_a_frontend_reads_events(api: AsyncClient):
    response = await api.get("/events", headers=from_page(FRONTEND))
    assert response.headers["content-type"].startswith("text/event-stream")
    assert_readable(response)


@pytest.mark.requirement("CSRF-10")
@pytest.mark.parametrize(
    ("origin", "messages"),
    [
        (FRONTEND, ["websocket.accept", "websocket.close"]),
        (ORIGIN, ["websocket.accept", "websocket.close"]),
        ("http://localhost:30001", ["websocket.close"]),
        ("null", ["websocket.close"]),
    ],
)
async def test_a_frontend_opens_websockets(new_app: Callable[..., FastAPI], origin: str, messages: list[str]):
    app = new_app(frontend_origins=FRONTENDS)
    sent = await connect(app, (b"host", b"test"), (b"origin", origin.encode()))
    assert [message["type"] for message in sent] == messages


async def test_without_frontends_nothing_is_installed(new_app: Callable[..., FastAPI], client: AsyncClient):
    assert "CORSMiddleware" not in str(new_app().user_middleware)
    assert "CORSMiddleware" in str(new_app(frontend_origins=FRONTENDS).user_middleware)
    read = await client.get("/notes/1", headers={"origin": FRONTEND})
    options = await client.options("/notes/1", headers=preflight(FRONTEND))
    change = await client.post("/notes", json={"title": "New"}, headers=from_page(FRONTEND, "same-site"))
    assert (read.status_code, options.status_code, change.status_code) == (200, 405, 403)
    assert cors_headers(read) == cors_headers(options) == cors_headers(change) == []
