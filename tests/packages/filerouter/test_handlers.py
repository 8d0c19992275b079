"""Handlers, settings and routers in route files, and the FastAPI routes made of them."""

import importlib
import inspect
import pickle
import sys
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from filerouter import RouteConfig, operation
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

GET = "async def get() -> int:\n    return 1\n"


def guard(key: Annotated[str, Header()] = "") -> None:
    if key != "right":
        raise HTTPException(401)


def test_handlers_are_ordinary_path_operations(project) -> None:
    project.write(
        {
            "items/[id].py": """
            from __future__ import annotations

            from typing import Annotated

            from fastapi import Depends, Form, Query, UploadFile
            from pydantic import BaseModel

            from filerouter import operation

            def _page(page: int = 1) -> int:
                return page

            class Item(BaseModel):
                id: int
                name: str = "?"

            async def get(id: int, page: Annotated[int, Depends(_page)], tag: str = "") -> Item:
                '''Read an item.

                Longer words.
                '''
                return Item(id=id, name=f"{tag}{page}")

            @operation(status_code=201)
            def post(id: int, item: Item) -> Item:
                return item

            def put(id: int, name: Annotated[str, Form()], file: UploadFile | None = None) -> dict[str, str]:
                return {"name": name}
            """
        }
    )
    client = project.client()
    assert client.get("/api/items/7?tag=x&page=2").json() == {"id": 7, "name": "x2"}
    assert client.get("/api/items/x").status_code == 422
    assert client.post("/api/items/7", json={"id": 1}).status_code == 201
    assert client.put("/api/items/7", data={"name": "n"}).json() == {"name": "n"}
    read = client.get("/openapi.json").json()["paths"]["/api/items/{id}"]
    assert list(read) == ["get", "post", "put"]
    assert read["get"]["operationId"] == "get_items_by_id"
    assert read["get"]["summary"] == "Read an item"
    assert read["get"]["description"] == "Longer words."
    assert read["get"]["tags"] == ["items"]
    assert read["post"]["summary"] == "Post items by id"


def test_operation_returns_the_function_itself() -> None:
    @operation(status_code=201)
    @operation(tags=["a"])
    def post(value: int) -> int:
        return value

    assert post(3) == 3
    assert inspect.isfunction(post)


def test_openapi_has_no_head_options_or_fallback(project) -> None:
    app = project.write({"d/[[...path]].py": "async def get(path: str = '') -> str:\n    return path\n"}).mount()
    paths = app.openapi()["paths"]
    assert {path: list(methods) for path, methods in paths.items()} == {
        "/api/d": ["get"],
        "/api/d/{path}": ["get"],
    }
    assert [o["operationId"] for p in paths.values() for o in p.values()] == ["get_d", "get_d_by_path"]
    assert paths["/api/d"]["get"].get("parameters", []) == []


def test_url_for_takes_the_name_of_the_file(project) -> None:
    app = project.write(
        {
            "products/[id].py": "async def get(id: int) -> int:\n    return id\n",
            "f/[[...path]].py": "async def get(path: str = '') -> str:\n    return path\n",
            "index.py": "from fastapi import Request\n"
            "async def get(request: Request) -> str:\n"
            "    return str(request.url_for('products.[id]', id=7))\n",
        }
    ).mount()
    assert TestClient(app).get("/api").json() == "http://testserver/api/products/7"
    assert app.url_path_for("f.[[...path]]") == "/api/f"
    assert app.url_path_for("f.[[...path]]", path="a/b") == "/api/f/a/b"
    with pytest.raises(ValueError, match=r"empty segment"):
        app.url_path_for("f.[[...path]]", path="../b")


def test_the_guard_protects_all_routes_that_are_not_public(project) -> None:
    project.write(
        {
            "secret.py": GET,
            "open.py": "from filerouter import RouteConfig\nconfig = RouteConfig(public=True)\n" + GET,
            "site/_folder.py": "from filerouter import RouteConfig\nconfig = RouteConfig(public=True)\n",
            "site/page.py": GET,
            "site/admin.py": "from filerouter import RouteConfig\nconfig = RouteConfig(public=False)\n" + GET,
            "hatch.py": "from fastapi import APIRouter\nrouter = APIRouter()\n@router.get('/x')\n"
            "async def read() -> int:\n    return 1\n",
            "live.py": "from fastapi import WebSocket\nasync def websocket(websocket: WebSocket) -> None:\n"
            "    await websocket.accept()\n    await websocket.close()\n",
        }
    )
    client = project.client(guard=guard)
    for url, status in {
        "secret": 401,
        "open": 200,
        "site/page": 200,
        "site/admin": 401,
        "hatch/x": 401,
    }.items():
        assert (url, client.get(f"/api/{url}").status_code) == (url, status)
        assert client.get(f"/api/{url}", headers={"key": "right"}).status_code == 200
    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/api/live"):
        pass
    assert denied.value.status_code == 401
    with client.websocket_connect("/api/live", headers={"key": "right"}):
        pass


def test_dependency_overrides_apply(project) -> None:
    app = project.write({"x.py": GET}).mount(guard=guard)
    assert TestClient(app).get("/api/x").status_code == 401
    app.dependency_overrides[guard] = lambda: None
    assert TestClient(app).get("/api/x").status_code == 200


def test_configs_merge_from_root_to_leaf(project) -> None:
    project.write(
        {
            "_log.py": """
            from fastapi import Depends
            order: list[str] = []
            def step(name: str):
                def note() -> None:
                    order.append(name)
                return Depends(note)
            """,
            "_folder.py": """
            from filerouter import RouteConfig
            from ._log import step
            config = RouteConfig(
                dependencies=[step("root")], tags=["all"], responses={404: {"description": "root"}},
                deprecated=True, max_body_size=10, include_in_schema=True)
            """,
            "(group)/_folder.py": """
            from filerouter import RouteConfig
            from .._log import step
            config = RouteConfig(dependencies=[step("group")], responses={409: {"description": "group"}})
            """,
            "(group)/a/b.py": """
            from filerouter import RouteConfig, operation
            from ..._log import order, step
            config = RouteConfig(dependencies=[step("file")], tags=["b"], deprecated=False)

            @operation(dependencies=[step("operation")], tags=["op"], responses={404: {"description": "op"}})
            async def get() -> list[str]:
                return order

            async def post(body: dict[str, str]) -> int:
                return 1

            @operation(max_body_size=100, deprecated=True)
            async def put(body: dict[str, str]) -> int:
                return 1
            """,
        }
    )
    client = project.client()
    assert client.get("/api/a/b").json() == ["root", "group", "file", "operation"]
    paths = client.get("/openapi.json").json()["paths"]["/api/a/b"]
    assert paths["get"]["tags"] == ["all", "b", "op"]
    assert paths["get"]["responses"]["404"]["description"] == "op"
    assert paths["get"]["responses"]["409"]["description"] == "group"
    assert "deprecated" not in paths["get"]
    assert paths["put"]["deprecated"] is True
    assert client.post("/api/a/b", json={"long": "x" * 20}).status_code == 413
    assert client.put("/api/a/b", json={"long": "x" * 20}).status_code == 200


def test_config_can_hide_a_file_from_the_schema(project) -> None:
    project.write({"x.py": "from filerouter import RouteConfig\nconfig = RouteConfig(include_in_schema=False)\n" + GET})
    assert project.mount().openapi()["paths"] == {}


def test_unknown_settings_are_errors() -> None:
    with pytest.raises(TypeError, match="Did you mean public"):
        RouteConfig(pubic=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="operation has no setting methods"):
        operation(methods=["GET"])


def test_folder_dependencies_run_for_websockets(project) -> None:
    project.write(
        {
            "_folder.py": """
            from typing import Annotated
            from fastapi import Depends, WebSocketException
            from filerouter import RouteConfig
            def _token(token: str = "") -> None:
                if token != "good":
                    raise WebSocketException(4401)
            config = RouteConfig(dependencies=[Depends(_token)])
            """,
            "rooms/[id].py": """
            from fastapi import WebSocket
            async def websocket(websocket: WebSocket, id: int) -> None:
                await websocket.accept()
                await websocket.send_json({"id": id})
            """,
            "rooms/lobby.py": GET,
        }
    )
    client = project.client()
    with client.websocket_connect("/api/rooms/7?token=good") as socket:
        assert socket.receive_json() == {"id": 7}
    with pytest.raises(WebSocketDisconnect) as refused, client.websocket_connect("/api/rooms/7"):
        pass
    assert refused.value.code == 4401
    # The path is matched first for websockets too: lobby.py has none.
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/api/rooms/lobby?token=good"):
        pass
    assert client.get("/api/rooms/7").status_code == 404


def test_a_router_can_replace_handlers(project) -> None:
    project.write(
        {
            "things.py": """
            from collections.abc import AsyncIterator
            from fastapi import APIRouter, Depends, WebSocket
            from filerouter import RouteConfig

            config = RouteConfig(tags=["t"])
            inner = APIRouter(tags=["inner"])
            router = APIRouter()

            @router.get("/{id:int}")
            async def read(id: int) -> int:
                '''Read by number.'''
                return id

            @router.get("/v{version}")
            async def version(version: str) -> str:
                return version

            @router.get("/{slug}")
            async def by_slug(slug: str) -> str:
                return slug

            @router.get("/extra")
            async def extra() -> str:
                return "extra"

            @router.get("/")
            @router.post("", status_code=201, name="make")
            async def both() -> str:
                return "both"

            @router.get("/{slug}/{path:path}")
            async def files(slug: str, path: str) -> str:
                return path

            @router.get("/stream")
            async def stream() -> AsyncIterator[int]:
                yield 1
                yield 2

            @router.websocket("/live")
            async def live(websocket: WebSocket) -> None:
                await websocket.accept()
                await websocket.send_text("live")

            @inner.delete("/{slug}")
            async def remove(slug: str) -> str:
                return slug

            router.include_router(inner, prefix="/in")
            """
        }
    )
    client = project.client()
    for url, expected in {
        "things": "both",
        "things/7": 7,
        "things/vx": "x",
        "things/abc": "abc",
        "things/extra": "extra",
        "things/a/b/c": "b/c",
    }.items():
        assert (url, client.get(f"/api/{url}").json()) == (url, expected)
    assert client.get("/api/things/stream").text == "1\n2\n"
    assert client.post("/api/things").status_code == 201
    assert client.delete("/api/things/in/x").json() == "x"
    assert client.delete("/api/things").headers["allow"] == "GET, HEAD, OPTIONS, POST"
    with client.websocket_connect("/api/things/live") as socket:
        assert socket.receive_text() == "live"
    paths = client.get("/openapi.json").json()["paths"]
    assert paths["/api/things/{id}"]["get"]["summary"] == "Read by number"
    assert paths["/api/things/in/{slug}"]["delete"]["tags"] == ["t", "inner"]
    assert client.app.url_path_for("make") == "/api/things"
    assert client.app.url_path_for("things.extra") == "/api/things/extra"


def test_the_application_has_flat_routes_in_the_order_of_precedence(project) -> None:
    app = project.write({"b.py": GET, "a/[id].py": GET.replace("()", "(id: str)"), "a/x.py": GET}).mount()
    routes = [route for route in app.routes if isinstance(route, APIRoute)]
    assert [route.path for route in routes] == ["/api/a/x", "/api/a/{id}", "/api/b"]
    assert [(f.url, f.pattern, f.methods) for f in project.api.files] == [
        ("/api/a/x", "/a/x", ("GET",)),
        ("/api/a/{id}", "/a/[id]", ("GET",)),
        ("/api/b", "/b", ("GET",)),
    ]


def test_imported_functions_are_not_handlers(project) -> None:
    project.write(
        {
            "x.py": "from httpx2 import get, delete\nfrom json import dumps\nfrom pydantic import BaseModel\n"
            "import functools\n"
            "class Model(BaseModel):\n    a: int = 1\n"
            "def _decorate(function):\n"
            "    @functools.wraps(function)\n"
            "    async def wrapper(**values):\n        return await function(**values)\n"
            "    return wrapper\n"
            "@_decorate\nasync def post(model: Model) -> Model:\n    return model\n"
        }
    )
    client = project.client()
    assert project.api.files[0].methods == ("POST",)
    assert client.post("/api/x", json={"a": 2}).json() == {"a": 2}


def test_imported_closures_are_not_handlers(project) -> None:
    """A closure has the module name of its factory."""
    project.write(
        {
            "_roles.py": "def require_role(role: str):\n"
            "    def check() -> str:\n        return role\n"
            "    return check\n"
            "require_admin = require_role('admin')\n",
            "x.py": "from typing import Annotated\nfrom fastapi import Depends\n"
            "from ._roles import require_admin\n"
            "if True:\n    from ._roles import require_admin as get\n"
            "async def post(role: Annotated[str, Depends(require_admin)]) -> str:\n    return role\n",
            "y.py": "from ._roles import *\nasync def get() -> str:\n    return require_admin()\n",
        }
    )
    client = project.client()
    assert [file.methods for file in project.api.files] == [("POST",), ("GET",)]
    assert client.post("/api/x").json() == client.get("/api/y").json() == "admin"


def test_an_assigned_or_decorated_function_is_a_handler(project) -> None:
    project.write(
        {
            "_service.py": GET.replace("get", "read")
            + "def closed(function):\n    async def wrapper() -> int:\n        return 2\n    return wrapper\n",
            "x.py": "from . import _service\nget = _service.read\n"
            "@_service.closed\nasync def post() -> int:\n    return 1\n",
        }
    )
    client = project.client()
    assert (client.get("/api/x").json(), client.post("/api/x").json()) == (1, 2)


def test_modules_have_natural_names(project) -> None:
    project.write(
        {
            "users.py": "from ._shared import VALUE\nasync def get() -> int:\n    return VALUE\n",
            "_shared.py": "VALUE = 5\n",
            "users/[id].py": "import dataclasses\nfrom .._shared import VALUE\n"
            "@dataclasses.dataclass\nclass Thing:\n    x: 'int' = VALUE\n"
            "async def get(id: str) -> int:\n    return VALUE\n",
            "files/[...path].py": "class Thing:\n    pass\nasync def get(path: str) -> int:\n    return 1\n",
            "docs/[[...path]].py": "async def get(path: str = '') -> int:\n    return 1\n",
            "robots.txt.py": GET,
            "a-b.py": GET,
            "a_b.py": GET.replace("1", "2").replace("get()", "post()"),
            "v1.2/x.py": GET,
        }
    )
    client = project.client()
    assert client.get("/api/users").json() == 5
    assert client.get("/api/users/7").json() == 5
    assert client.get("/api/v1.2/x").json() == 1
    assert client.post("/api/a_b").json() == 2
    names = ["users", "users.[id]", "files.[*path]", "docs.[[*path]]", "robots%2Etxt", "a-b", "v1%2E2.x"]
    for name in names:
        full = f"{project.name}.api.{name}"
        assert full in sys.modules
        assert importlib.import_module(full) is sys.modules[full]
    for name in ("users.[id]", "files.[*path]"):
        thing = sys.modules[f"{project.name}.api.{name}"].Thing
        assert pickle.loads(pickle.dumps(thing())).__class__ is thing  # noqa: S301


def test_trees_and_applications_are_independent(projects) -> None:
    first, second = projects(), projects()
    app = FastAPI()
    first.write({"x.py": GET, "y.py": GET}).mount(app)
    second.write({"x.py": GET.replace("1", "2"), "[any].py": "async def get(any: str) -> str:\n    return any\n"})
    second.mount(app, prefix="")
    client = TestClient(app)
    assert client.get("/api/x").json() == 1
    assert client.get("/x").json() == 2
    assert client.get("/else").json() == "else"
    assert client.get("/api/z").status_code == 404
    assert client.get("/docs").status_code == 200
    # The same folder in a second application: imported once, registered twice.
    again = FastAPI()
    first.mount(again, prefix="/v2")
    assert TestClient(again).get("/v2/x").json() == 1
    assert client.get("/api/x").json() == 1
    # The same FileRouter in a third application: each application has its own routes.
    other = FastAPI()
    first.api.mount(other)
    assert {id(route) for route in other.routes}.isdisjoint({id(route) for route in again.routes})
    assert TestClient(other).get("/v2/x").json() == TestClient(again).get("/v2/x").json() == 1


def test_a_dependency_can_take_the_path_parameter(project) -> None:
    project.write(
        {
            "p/[id].py": "from typing import Annotated\nfrom fastapi import Depends\n"
            "def _load(id: int) -> str:\n    return f'item {id}'\n"
            "async def get(item: Annotated[str, Depends(_load)]) -> str:\n    return item\n",
            "d/[[...path]].py": "from typing import Annotated\nfrom fastapi import Depends\n"
            "def _parts(path: str = '') -> list[str]:\n    return path.split('/') if path else []\n"
            "async def get(parts: Annotated[list[str], Depends(_parts)]) -> list[str]:\n    return parts\n",
        }
    )
    client = project.client()
    assert client.get("/api/p/3").json() == "item 3"
    assert client.get("/api/d/a/b").json() == ["a", "b"]
    assert client.get("/api/d?path=a/b").json() == []


def test_the_defaults_of_the_application_apply(project) -> None:
    calls: list[Any] = []
    app = FastAPI(dependencies=[Depends(lambda: calls.append(1))], responses={418: {"description": "tea"}})
    client = project.write({"x.py": GET}).client(app)
    assert client.get("/api/x").json() == 1
    assert calls == [1]
    assert "418" in app.openapi()["paths"]["/api/x"]["get"]["responses"]
