"""Every route is requested by some test, and none is open by accident."""

from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from httpx2 import ASGITransport, AsyncClient

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
