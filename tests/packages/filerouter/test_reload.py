"""In development: what was saved is what the next request sees."""

import sys
import time

from fastapi import FastAPI
from fastapi.testclient import TestClient


def get(value: str) -> str:
    return f"async def get() -> str:\n    return {value!r}\n"


def test_edit_add_rename_delete(project) -> None:
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


def test_private_modules_and_folder_settings(project) -> None:
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


def test_broken_then_mended(project, capsys) -> None:
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
        assert "gett() is no handler. Did you mean get?" in response.json()["detail"]
    assert client.get("/other").json() == "other"
    printed = capsys.readouterr().err
    assert printed.count("problems in the route tree") == 1
    project.write({"z.py": get("z")})
    assert client.get("/api/x").status_code == 500
    project.write({"x.py": get("2")})
    assert [client.get(f"/api/{name}").json() for name in "xyz"] == ["2", "y", "z"]


def test_mended_outside_the_tree(project, tmp_path, monkeypatch) -> None:
    client = project.write({"x.py": get("1")}).client(reload=True)
    project.write({"x.py": f"from {project.name}_outside import VALUE\n" + get("2")})
    assert client.get("/api/x").status_code == 500
    (tmp_path / f"{project.name}_outside.py").write_text("VALUE = 1\n")
    import importlib

    importlib.invalidate_caches()
    assert client.get("/api/x").json() == "2"


def test_refresh_keeps_the_old_table_when_it_fails(project) -> None:
    import pytest

    from filerouter import RouteTreeError

    client = project.write({"x.py": get("1")}).client()
    project.write({"y.py": "VALUE = 1\n"})
    with pytest.raises(RouteTreeError):
        project.api.refresh()
    assert client.get("/api/x").json() == "1"
    project.write({"y.py": get("y")})
    assert client.get("/api/y").status_code == 404
    project.api.refresh()
    assert client.get("/api/y").json() == "y"


def test_order_beside_other_routes_is_kept(project) -> None:
    app = FastAPI()
    project.write({"x.py": get("1")}).mount(app, reload=True)

    @app.get("/api/{rest:path}")
    async def rest(rest: str) -> str:
        return "rest"

    client = TestClient(app)
    assert [client.get(f"/api/{name}").json() for name in ("x", "new")] == ["1", "rest"]
    project.write({"new.py": get("new"), "x.py": get("2")})
    assert [client.get(f"/api/{name}").json() for name in ("x", "new", "y")] == ["2", "new", "rest"]


def test_the_look_at_the_disk_is_quick(project) -> None:
    """Not a benchmark: only a guard against reading contents."""
    project.write({f"r{number}.py": get("r") for number in range(50)}).mount(reload=True)
    start = time.process_time()
    for _ in range(20):
        assert not project.api._package.has_changed()
    assert (time.process_time() - start) / 20 < 0.05
