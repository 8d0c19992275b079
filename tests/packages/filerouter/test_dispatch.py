"""Responses are the same with the trie and with FastAPI's linear search."""

import itertools
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Form, Header, HTTPException, Request
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.testclient import TestClient
from opentelemetry import trace
from starlette.websockets import WebSocketDisconnect

TREE = {
    "_folder.py": "from filerouter import RouteConfig\nconfig = RouteConfig(max_body_size=200)\n",
    "index.py": "async def get() -> str:\n    return 'index'\n",
    "users/me.py": "async def get() -> str:\n    return 'me'\n",
    "users/[id].py": """
        async def get(id: int) -> int:
            return id
        async def delete(id: int) -> int:
            return -id
        """,
    "users/[id]/orders.py": "async def get(id: int, q: str = '') -> str:\n    return f'{id}{q}'\n",
    "files/[...path].py": "async def get(path: str) -> str:\n    return path\n",
    "files/[a]/[b].py": "async def get(a: str, b: str) -> str:\n    return a + b\n",
    "docs/[[...path]].py": "async def get(path: str = 'none') -> str:\n    return path\n",
    "form.py": """
        from typing import Annotated
        from fastapi import Form
        async def post(a: Annotated[list[str], Form()]) -> int:
            return len(a)
        """,
    "tenant.py": """
        from fastapi import Request
        async def get(request: Request) -> dict[str, object]:
            return {
                "params": request.path_params, "root": request.scope["root_path"],
                "route": request.scope["route"].path, "router": type(request.scope["router"]).__name__,
                "link": str(request.url_for("users.me")),
            }
        """,
    "live/[room].py": """
        from fastapi import WebSocket
        async def websocket(websocket: WebSocket, room: str) -> None:
            await websocket.accept()
            await websocket.send_json([room, websocket.path_params, websocket.scope["route"].path])
        """,
    "typed.py": """
        from fastapi import APIRouter
        router = APIRouter()
        @router.get("/{x:int}")
        async def integer(x: int) -> str:
            return f"int {x}"
        @router.get("/{x:float}")
        async def number(x: float) -> str:
            return f"float {x}"
        @router.get("/{x:uuid}")
        async def uuid(x: str) -> str:
            return f"uuid {x}"
        @router.get("/v{x}")
        async def mixed(x: str) -> str:
            return f"v {x}"
        @router.get("/{x}")
        async def text(x: str) -> str:
            return f"str {x}"
        @router.get("/{x:int}/more")
        async def more(x: int) -> str:
            return f"more {x}"
        """,
}

# Without paths that only the dispatcher refuses, because a proxy may read them differently: see test_http.py.
PATHS = [
    *(
        "/",
        "",
        "/api",
        "/api/",
        "/api//",
        "/apix",
        "/api/users",
        "/api/users/",
        "/api/users/me",
        "/api/users/me/",
    ),
    *(
        "/api/users/me\n",
        "/api/users/7",
        "/api/users/7\n",
        "/api/users/x",
        "/api/users//",
        "/api/users/7/orders",
    ),
    *(
        "/api/users/7/orders/",
        "/api/users/me/orders",
        "/api/users/x/orders",
        "/api/users//orders",
        "/api/files",
    ),
    *(
        "/api/files/",
        "/api/files/a",
        "/api/files/a/b",
        "/api/files/a/b/",
        "/api/files/a/b/c",
        "/api/files/a//c",
    ),
    *(
        "/api/files/.",
        "/api/files/..",
        "/api/files/a/../c",
        "/api/files/...",
        "/api/files/.x",
    ),
    *("/api/docs", "/api/docs/", "/api/docs/a", "/api/docs/a/b/", "/api/docs/..", "/api/docs\n", "/api/form"),
    *("/api/tenant", "/api/live/1", "/api/typed", "/api/typed/5", "/api/typed/-5", "/api/typed/1_000"),
    *(
        "/api/typed/1.5",
        "/api/typed/nan",
        "/api/typed/1e5",
        "/api/typed/v2",
        "/api/typed/v",
        "/api/typed/7/more",
    ),
    *("/api/typed/x/more", "/api/typed/1b4e28ba-2fa1-11d2-883f-0016d3cca427", "/api/static/x", "/api/static"),
    *(
        "/api/included/5",
        "/api/before",
        "/api/before/",
        "/api/after",
        "/api/users/after",
        "/docs",
        "/openapi.json",
    ),
    *("/front", "/front/deep", "/front/x.js", "/api/é", "/api/users/%", "/api/users/a b", "/API/users/me"),
]
METHODS = ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PROPFIND"]


@contextmanager
def linear(app: FastAPI) -> Iterator[None]:
    """FastAPI's own search in place of the trie."""
    stack, app.router.middleware_stack = app.router.middleware_stack, app.router.app
    try:
        yield
    finally:
        app.router.middleware_stack = stack


async def send(app: Any, method: str, path: str, body: bytes = b"", kind: str = "", **more: Any) -> Any:
    """Send a request over ASGI, where no client can change the path. Returns status, headers and body."""
    sent: list[Any] = []
    headers = [(b"host", b"h"), (b"content-type", kind.encode()), (b"content-length", b"%d" % len(body))]
    headers += [(b"accept", b"text/html")]
    scope = {
        **{"type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1"},
        **{
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"q=1",
            "root_path": "",
        },
        **{"scheme": "http", "server": ("h", 80), "client": ("c", 1), "headers": headers, **more},
    }
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Any:
        return next(messages, {"type": "http.disconnect"})

    async def collect(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, collect)
    content = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], sorted(sent[0].get("headers", [])), content


async def differences(app: FastAPI, outer: Any = None, **more: Any) -> list[Any]:
    """Return the requests whose responses differ, with both responses."""
    found = []
    for method, path in itertools.product(METHODS, PATHS):
        path = more.get("prefix", "") + path
        arguments = {key: value for key, value in more.items() if key != "prefix"}
        with_trie = await send(outer or app, method, path, **arguments)
        with linear(app):
            without = await send(outer or app, method, path, **arguments)
        if with_trie != without:
            found.append((method, path, with_trie, without))
    return found


def add_before(app: FastAPI) -> None:
    @app.get("/api/before")
    @app.get("/api/users/{id}/shadow")
    async def before() -> str:
        return "before"

    async def static(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse(scope["path"])(scope, receive, send)

    app.mount("/api/static", static)
    included = APIRouter()

    @included.get("/{x}")
    async def read(x: int) -> int:
        return x

    app.include_router(included, prefix="/api/included")


def add_after(app: FastAPI) -> None:
    @app.get("/api/after")
    @app.get("/api/users/after")
    async def after() -> str:
        return "after"


async def test_every_response_is_the_same_among_other_routes(project) -> None:
    app = FastAPI()
    add_before(app)
    project.write(TREE).mount(app)
    add_after(app)
    assert await differences(app) == []
    assert (await send(app, "GET", "/api/after"))[2] == b'"after"'
    assert (await send(app, "GET", "/api/users/after"))[0] == 422  # the tree's [id] came first
    assert (await send(app, "GET", "/api/static/x"))[2] == b"/api/static/x"


async def test_every_response_is_the_same_without_a_prefix(project) -> None:
    app = FastAPI()
    project.write(TREE).mount(app, prefix="")
    assert await differences(app) == []
    inside = {path.removeprefix("/api") for path in PATHS}
    for path in inside:
        with_trie = await send(app, "GET", path)
        with linear(app):
            assert await send(app, "GET", path) == with_trie, path


async def test_frontends_and_a_custom_default_are_the_same(project, tmp_path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<h1>site</h1>")
    app = FastAPI()
    project.write(TREE).mount(app)
    app.frontend("/front", directory=tmp_path / "site", fallback="index.html")
    assert await differences(app) == []
    assert (await send(app, "GET", "/front/deep"))[2] == b"<h1>site</h1>"

    async def default(scope: Any, receive: Any, send: Any) -> None:
        await HTMLResponse("own 404", 404)(scope, receive, send)

    app.router.default = default
    assert await differences(app) == []
    assert (await send(app, "GET", "/api/users/1/2/3"))[2] == b"own 404"


async def test_every_response_is_the_same_below_a_mount_with_parameters(project) -> None:
    app = project.write(TREE).mount()
    outer = FastAPI()
    outer.mount("/t/{tenant}", app)
    assert await differences(app, outer, prefix="/t/acme") == []
    status, _, body = await send(outer, "GET", "/t/acme/api/tenant")
    assert status == 200
    assert b'"tenant":"acme"' in body
    assert b'"router":"APIRouter"' in body


async def test_every_response_is_the_same_with_a_root_path(project) -> None:
    app = project.write(TREE).mount()
    for root in ("/proxy", "/api", "/"):
        assert await differences(app, root_path=root) == []
        assert await differences(app, root_path=root, prefix=root.rstrip("/")) == []


@pytest.mark.parametrize(
    ("options", "in_tree", "by_hand"),
    [
        ({"form_limits": {"max_fields": 2}}, [200, 400, 400, 413], [200, 400, 400, 400]),
        ({"max_body_size": 30}, [200, 200, 200, 413], [200, 200, 413, 413]),
        ({}, [200, 200, 200, 413], [200, 200, 200, 200]),
    ],
)
async def test_limits_of_body_and_form_apply(
    options: dict[str, Any], in_tree: list[int], by_hand: list[int], project
) -> None:
    app = FastAPI(**options)
    project.write(TREE).mount(app)

    @app.post("/plain")
    async def plain(a: Annotated[list[str], Form()]) -> int:
        return len(a)

    for path, expected in (("/api/form", in_tree), ("/plain", by_hand)):
        statuses = []
        for fields in (1, 3, 12, 60):
            arguments = (app, "POST", path, b"&".join([b"a=x"] * fields), "application/x-www-form-urlencoded")
            response = await send(*arguments)
            with linear(app):
                assert await send(*arguments) == response
            statuses.append(response[0])
        assert statuses == expected


async def test_plain_fastapi_routes_in_the_same_order_respond_the_same(project) -> None:
    app, plain = project.write(TREE).mount(), FastAPI(redirect_slashes=False)

    @plain.get("/api/users/me")
    async def me() -> str:
        return "me"

    @plain.get("/api/users/{id}")
    async def read(id: int) -> int:  # noqa: A002
        return id

    for path in ("/api/users/me", "/api/users/7", "/api/users/x", "/api/users/7/x", "/api/none"):
        assert await send(app, "GET", path) == await send(plain, "GET", path)


def test_websockets_are_the_same(project) -> None:
    app = project.write(TREE).mount()

    @app.websocket("/api/by-hand")
    async def by_hand(websocket: Any) -> None: ...

    def talk(path: str) -> Any:
        try:
            with TestClient(app).websocket_connect(path) as socket:
                return socket.receive_json()
        except WebSocketDisconnect as closed:
            return closed.code

    for path in ("/api/live/7", "/api/live", "/api/live/7/", "/api/users/me", "/api/none", "/none"):
        result = talk(path)
        with linear(app):
            assert talk(path) == result
    assert talk("/api/live/7") == ["7", {"room": "7"}, "/api/live/{room}"]


class RecordedSpan(trace.NonRecordingSpan):
    """Keeps its name and attributes."""

    def __init__(self, name: str, attributes: Any) -> None:
        super().__init__(trace.SpanContext(1, 1, is_remote=False))
        self.name, self.attributes = name, dict(attributes or {})

    def is_recording(self) -> bool:
        return True

    def set_attribute(self, key: str, value: Any) -> None:
        self.attributes[key] = value

    def update_name(self, name: str) -> None:
        self.name = name


class RecordingTracer(trace.TracerProvider, trace.Tracer):
    """A provider whose tracer is itself."""

    def __init__(self) -> None:
        self.spans: list[RecordedSpan] = []

    def get_tracer(self, *arguments: Any, **options: Any) -> trace.Tracer:
        return self

    def start_span(self, name: str, *arguments: Any, attributes: Any = None, **options: Any) -> trace.Span:
        self.spans.append(RecordedSpan(name, attributes))
        return self.spans[-1]

    def start_as_current_span(self, name: str, *arguments: Any, **options: Any) -> Any:
        return trace.use_span(self.start_span(name, **options))


async def test_telemetry_has_the_route_name(project) -> None:
    tracer = RecordingTracer()
    options = {"tracer_provider": tracer, "metrics": False, "logs": False, "operation_spans": False}
    app = FastAPI(telemetry=options)  # type: ignore[arg-type]
    project.write(TREE).mount(app)

    async def names(method: str, path: str) -> list[Any]:
        tracer.spans.clear()
        await send(app, method, path)
        return [(span.name, span.attributes.get("http.route")) for span in tracer.spans]

    for method, path in itertools.product(["GET", "HEAD", "POST"], PATHS):
        spans = await names(method, path)
        with linear(app):
            assert await names(method, path) == spans
    assert ("GET /api/users/{id}", "/api/users/{id}") in await names("GET", "/api/users/7")
    assert ("POST /api/users/{id}", "/api/users/{id}") in await names("POST", "/api/users/7")


def test_dependencies_and_lifespan_state_work(project) -> None:
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI):
        events.append("up")
        yield {"value": 3}
        events.append("down")

    def check(key: Annotated[str, Header()] = "") -> None:
        if not key:
            raise HTTPException(401)

    app = FastAPI(lifespan=lifespan)
    body = "from fastapi import Request\nasync def get(request: Request) -> int:\n"
    body += "    return request.state.value\n"
    project.write({"x.py": body})
    project.mount(app, guard=check)

    @app.get("/later", dependencies=[Depends(check)])
    async def later(request: Request) -> int:
        return request.state.value

    with TestClient(app) as client:
        for path in ("/api/x", "/later"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers={"key": "k"}).json() == 3
    assert events == ["up", "down"]
