"""Tests request every route, and no route is public by accident."""

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, APIWebSocketRoute
from filerouter import FileRouter
from httpx2 import ASGITransport, AsyncClient

from app.accounts.browser import SESSION
from app.deps import require_user
from app.main import create_app
from app.settings import Settings
from tests.conftest import Browser

ROOT = Path(__file__).parent.parent
PUBLIC = {
    "GET /api/auth/callback/{provider}",
    "GET /api/auth/login/{provider}",
    "GET /api/auth/providers",
    "GET /api/health",
    "GET /api/hello",
    "GET /api/me/email/confirmation",
    "GET /api/me/email/reversal",
    "GET /api/password-reset/confirmation",
    "GET /api/ready",
    "GET /api/users/confirmation",
    "POST /api/me/email/reversal",
    "POST /api/password-reset",
    "POST /api/password-reset/confirmation",
    "POST /api/session",
    "POST /api/users",
    "POST /api/users/confirmation",
}
"""Operations without a sign-in, besides those in `public_routes.txt` of a feature's tests.

A change of these lists is a security decision.
"""


def operations(app: FastAPI) -> dict[str, APIRoute | APIWebSocketRoute]:
    """Every operation of the route table, whether it is in the OpenAPI document or not."""
    found: dict[str, APIRoute | APIWebSocketRoute] = {}
    for route in app.routes:
        if isinstance(route, APIWebSocketRoute):
            found[f"WEBSOCKET {route.path}"] = route
        elif isinstance(route, APIRoute) and route.path.startswith("/api"):
            found |= {f"{method} {route.path}": route for method in route.methods or ()}
    return found


def requires_user(route: APIRoute | APIWebSocketRoute) -> bool:
    """Return whether `require_user` is one of the route's dependencies."""
    waiting = [route.dependant]
    while waiting:
        dependant = waiting.pop()
        if dependant.call is require_user:
            return True
        waiting += dependant.dependencies
    return False


@pytest.mark.last
def test_every_route_is_requested(app: FastAPI, requested: set[tuple[str, str]]):
    """Runs last. Add a test of the route to the tests of its feature."""
    known = {tuple(name.split(" ", 1)) for name in operations(app) if not name.startswith("WEBSOCKET")}
    assert known - requested == set()


@pytest.mark.requirement("OPS-10")
def test_the_public_operations_are_known(app: FastAPI):
    listed = set(PUBLIC)
    for file in ROOT.glob("tests/*/public_routes.txt"):
        listed |= set(file.read_text(encoding="utf-8").splitlines())
    assert {name for name, route in operations(app).items() if not requires_user(route)} == listed


@pytest.mark.parametrize("cookie", [None, "A" * 43])
async def test_all_other_operations_are_401_without_a_session(
    app: FastAPI, client: Browser, cookie: str | None
):
    """Also if the request has other errors."""
    if cookie:
        client.cookies.set(SESSION, cookie)
    statuses = {}
    for name, route in operations(app).items():
        method, path = name.split(" ", 1)
        if method != "WEBSOCKET" and requires_user(route):
            statuses[name] = (await client.request(method, re.sub(r"{[^}]*}", "0", path))).status_code
    assert len(statuses) > 10
    assert {name for name, status in statuses.items() if status != 401} == set()


async def test_a_route_requires_a_session_until_its_file_makes_it_public(tmp_path: Path, settings: Settings):
    tree = tmp_path / "closed"
    tree.mkdir()
    (tree / "secret.py").write_text("async def get() -> str:\n    return 'secret'\n")
    app = create_app(settings)
    FileRouter(tree, prefix="/closed", guard=require_user).mount(app)

    async def with_state(scope, receive, send) -> None:
        scope["state"] = {"settings": settings}
        await app(scope, receive, send)

    async with AsyncClient(transport=ASGITransport(with_state), base_url="http://test") as client:
        response = await client.get("/closed/secret")
    assert response.status_code == 401
    assert response.headers["www-authenticate"]
    assert "RouteConfig(public=True)" in response.json()["detail"]
