"""Reload in development: each request sees the files as they are on disk."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from filerouter import RouteTreeError
from starlette.websockets import WebSocketDisconnect


def get(value: str) -> str:
    return f"async def get() -> str:\n    return {value!r}\n"


def test_the_next_request_sees_edited_added_renamed_and_deleted_files(project) -> None:
    client = project.write({"x.py": get("1"), "y.py": get("y")}).client(reload=True)
    assert client.get("/api/x").json() == "1"
    for value in "2345":  # the same size within the same second
        project.write({"x.py": get(value)})
        assert client.get("/api/x").json() == value
    project.write({"new/[id].py": "async def get(id: int) -> int:\n    return id\n"})
    assert client.get("/api/new/7").json() == 7
    assert "/api/new/{id}" in client.get("/openapi.json").json()["paths"]
    (project.root / "x.py").rename(project.root / "z.py")
    assert client.get("/api/x").status_code == 404
    assert client.get("/api/z").json() == "5"
    (project.root / "z.py").unlink()
    assert client.get("/api/z").status_code == 404
    assert "/api/z" not in client.get("/openapi.json").json()["paths"]
    project.write({"y/[id].py": "async def get(id: int) -> int:\n    return id\n"})  # beside y.py
    assert client.get("/api/y").json() == "y"
    assert client.get("/api/y/3").json() == 3


def test_only_the_changed_file_is_imported_again(project) -> None:
    client = project.write({"x.py": get("1"), "y.py": get("y")}).client(reload=True)
    untouched = sys.modules[f"{project.name}.api.y"]
    routes = {route.path: route for route in client.app.routes if hasattr(route, "dependant")}
    project.write({"x.py": get("2")})
    assert client.get("/api/x").json() == "2"
    assert sys.modules[f"{project.name}.api.y"] is untouched
    again = {route.path: route for route in client.app.routes if hasattr(route, "dependant")}
    assert again["/api/y"] is routes["/api/y"]
    assert again["/api/x"] is not routes["/api/x"]


def test_a_changed_private_module_or_folder_config_reloads_the_tree(project) -> None:
    project.write(
        {
            "_shared.py": "VALUE = 1\n",
            "_folder.py": "from filerouter import RouteConfig\nconfig = RouteConfig(tags=['a'])\n",
            "x.py": "from ._shared import VALUE\nasync def get() -> int:\n    return VALUE\n",
        }
    )
    client = project.client(reload=True)
    assert client.get("/api/x").json() == 1
    project.write({"_shared.py": "VALUE = 2\n"})
    assert client.get("/api/x").json() == 2
    project.write({"_folder.py": "from filerouter import RouteConfig\nconfig = RouteConfig(tags=['b'])\n"})
    assert client.get("/openapi.json").json()["paths"]["/api/x"]["get"]["tags"] == ["b"]


def test_a_broken_tree_is_a_problem_response_until_it_is_fixed(project, capsys) -> None:
    app = FastAPI()

    @app.get("/other")
    async def other() -> str:
        return "other"

    client = project.write({"x.py": get("1"), "y.py": get("y")}).client(app, reload=True)
    project.write({"x.py": "def get(:\n", "z.py": "def gett() -> None: ...\n"})
    for url in ("/api/x", "/api/y", "/api/nothing", "/api"):
        response = client.get(url)
        assert response.status_code == 500
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == 500
        assert "SyntaxError" in response.json()["detail"]
        assert "gett() is not a handler. Did you mean get?" in response.json()["detail"]
    with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect("/api/x"):
        pass
    assert closed.value.code == 1011
    assert client.get("/other").json() == "other"
    printed = capsys.readouterr().err
    assert printed.count("problems in the route tree") == 1
    project.write({"z.py": get("z")})
    assert client.get("/api/x").status_code == 500
    project.write({"x.py": get("2")})
    assert [client.get(f"/api/{name}").json() for name in "xyz"] == ["2", "y", "z"]


def test_a_fix_outside_the_tree_is_noticed(project, tmp_path, monkeypatch) -> None:
    client = project.write({"x.py": get("1")}).client(reload=True)
    project.write({"x.py": f"from {project.name}_outside import VALUE\n" + get("2")})
    assert client.get("/api/x").status_code == 500
    (tmp_path / f"{project.name}_outside.py").write_text("VALUE = 1\n")
    importlib.invalidate_caches()
    assert client.get("/api/x").json() == "2"


def test_a_failed_refresh_keeps_the_present_routes(project) -> None:
    client = project.write({"x.py": get("1")}).client()
    project.write({"y.py": "VALUE = 1\n"})
    with pytest.raises(RouteTreeError):
        project.api.refresh()
    assert client.get("/api/x").json() == "1"
    project.write({"y.py": get("y")})
    assert client.get("/api/y").status_code == 404
    project.api.refresh()
    assert client.get("/api/y").json() == "y"


def test_reloading_keeps_the_order_among_other_routes(project) -> None:
    app = FastAPI()
    project.write({"x.py": get("1")}).mount(app, reload=True)

    @app.get("/api/{rest:path}")
    async def rest(rest: str) -> str:
        return "rest"

    client = TestClient(app)
    assert [client.get(f"/api/{name}").json() for name in ("x", "new")] == ["1", "rest"]
    project.write({"new.py": get("new"), "x.py": get("2")})
    assert [client.get(f"/api/{name}").json() for name in ("x", "new", "y")] == ["2", "new", "rest"]


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """The files that this process opens. An audit hook cannot be removed, so it is switched off."""
    files: list[str] = []
    active = True

    def note(event: str, arguments: Any) -> None:
        if active and event == "open":
            files.append(str(arguments[0]))

    sys.addaudithook(note)
    yield files
    active = False


def test_a_request_to_an_unchanged_tree_opens_no_route_file(project, opened: list[str]) -> None:
    client = project.write({"x.py": get("1"), "y.py": get("y")}).client(reload=True)

    def route_files() -> list[str]:
        return [file for file in opened if Path(file).is_relative_to(project.root)]

    assert client.get("/api/x").json() == "1"
    assert route_files() != []
    opened.clear()
    assert client.get("/api/x").json() == "1"
    assert route_files() == []
