"""Every route is requested by some test, and none is open by accident."""

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from httpx2 import ASGITransport, AsyncClient

from app.core.cookies import SESSION
from app.deps import require_user
from app.main import create_app
from app.settings import Settings
from filerouter import FileRouter


@pytest.mark.last
def test_every_route_is_requested(app: FastAPI, requested: set[tuple[str, str]]):
    """Runs last. Add a test of the route under tests/api/, in the file named after its noun."""
    routes = {
        (method, route.path)
        for route in app.routes
        if isinstance(route, APIRoute) and route.path.startswith("/api")
        for method in route.methods or ()
    }
    assert routes - requested == set()


OPEN = {
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
"""What strangers may ask for, besides the example. A change of this list is a decision."""
EXAMPLE = (
    "/api/catalog",
    "/api/contact",
    "/api/files",
    "/api/posts",
    "/api/products",
    "/api/weather",
)


def test_OPS_10_the_open_routes_are_known(app: FastAPI):
    found = {
        f"{method.upper()} {path}"
        for path, item in app.openapi()["paths"].items()
        for method, operation in item.items()
        if not operation.get("security") and not path.startswith(EXAMPLE)
    }
    assert found == OPEN


@pytest.mark.parametrize("cookie", [None, "A" * 43])
async def test_all_others_are_401_for_strangers(app: FastAPI, client: AsyncClient, cookie: str | None):
    """Whatever else is wrong with their request."""
    if cookie:
        client.cookies = {SESSION: cookie}
    answers = {
        f"{method.upper()} {path}": (await client.request(method, re.sub(r"{[^}]*}", "0", path))).status_code
        for path, item in app.openapi()["paths"].items()
        for method, operation in item.items()
        if operation.get("security")
    }
    assert len(answers) > 10
    assert {operation for operation, status in answers.items() if status != 401} == set()


async def test_a_route_is_closed_until_its_file_opens_it(tmp_path: Path, settings: Settings):
    tree = tmp_path / "closed"
    tree.mkdir()
    (tree / "secret.py").write_text("async def get() -> str:\n    return 'secret'\n")
    app = create_app(settings)
    FileRouter(tree, prefix="/closed", guard=require_user).mount(app)
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
        answer = await client.get("/closed/secret")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"]
    assert "RouteConfig(public=True)" in answer.json()["detail"]
