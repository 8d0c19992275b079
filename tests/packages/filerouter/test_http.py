"""Responses over HTTP. They are those of Next.js 16.4.6, except where README.md lists a difference."""

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException

ECHO = """
from fastapi import Request

async def get(request: Request{}) -> dict[str, object]:
    return {{"file": {!r}, "params": request.path_params, "query": dict(request.query_params)}}
"""


def echo(file: str, *parameters: str) -> str:
    return ECHO.format("".join(f", {parameter}" for parameter in parameters), file)


TREE = {
    "products/index.py": echo("products"),
    "products/[id].py": echo("products/[id]", "id: str"),
    "products/featured.py": echo("products/featured"),
    "users/[id]/orders.py": echo("users/[id]/orders", "id: str"),
    "users/me.py": "async def get() -> str:\n    return 'me'\n",
    "users/[id].py": "async def delete(id: str) -> str:\n    return id\n",
    "files/[...path].py": echo("files/[...path]", "path: str"),
    "files/[a]/[b].py": echo("files/[a]/[b]", "a: str", "b: str"),
    "docs/[[...slug]].py": echo("docs/[[...slug]]", "slug: str = ''"),
    "(auth)/login.py": "async def post() -> str:\n    return 'in'\nasync def put() -> str:\n    return ''\n",
    "_priv/x.py": echo("_priv"),
    "%5Fpub.py": echo("_pub"),
    "%2Ewell-known/thing.py": echo("thing"),
    "robots.txt.py": echo("robots.txt"),
    "acme/[page].py": echo("acme/[page]", "page: str"),
    "[org]/settings.py": echo("[org]/settings", "org: str"),
    "index.py": echo("index"),
}
FOUND = {
    "/api": ("index", {}),
    "/api/products": ("products", {}),
    "/api/products/7": ("products/[id]", {"id": "7"}),
    "/api/products/featured": ("products/featured", {}),
    "/api/users/3/orders": ("users/[id]/orders", {"id": "3"}),
    "/api/files/x/y/z": ("files/[...path]", {"path": "x/y/z"}),
    "/api/files/x/y": ("files/[a]/[b]", {"a": "x", "b": "y"}),
    "/api/files/x": ("files/[...path]", {"path": "x"}),
    "/api/docs": ("docs/[[...slug]]", {}),
    "/api/docs/a/b": ("docs/[[...slug]]", {"slug": "a/b"}),
    "/api/_pub": ("_pub", {}),
    "/api/.well-known/thing": ("thing", {}),
    "/api/robots.txt": ("robots.txt", {}),
    "/api/acme/settings": ("acme/[page]", {"page": "settings"}),
    "/api/zed/settings": ("[org]/settings", {"org": "zed"}),
    "/api/products/%25": ("products/[id]", {"id": "%"}),
    "/api/products/a%20b": ("products/[id]", {"id": "a b"}),
    # Next.js: 400. See README.md.
    "/api/products/%zz": ("products/[id]", {"id": "%zz"}),
    # A final line feed is part of the segment.
    "/api/products/featured%0A": ("products/[id]", {"id": "featured\n"}),
    "/api/files/x/y%0A": ("files/[a]/[b]", {"a": "x", "b": "y\n"}),
}

NOT_FOUND = [
    # Next.js: a parameter with the value "a/b". See README.md.
    "/api/products/a%2Fb",
    "/api/products%2f7",
    "/api%2fproducts/7",
    "/api/files/a%2Fb/c",
    "/api/docs/a%2Fb",
    # `.` and `..` are the value of no parameter.
    "/api/products/%2e%2e",
    "/api/products/%2e",
    "/api/files/%2e%2e/y",
    "/api/files/x/%2e%2e",
    "/api/%2e%2e/settings",
    "/api/users/%2e%2e/orders",
    "/api/users/3/orders%0A",
    "/api/.well-known/thing%0A",
    "/api/products%0A",
    "/api%0A",
    "/api/files",
    "/api/_priv/x",
    "/api/Products/7",
    "/api/products//7",
    "//api/products/7",
    "/api//",
    "/api/products/7//",
    "/api/files/a/%2e%2e/b/c",
    "/api/files/%2e",
    "/api/files/a/b//c",
    "/api/docs/%2e%2e/%2e%2e/etc/passwd",
    "/api/nothing",
    "/apix",
    "/",
]

AUTOMATIC = [
    ("OPTIONS", "/api/products/7", 204, "GET, HEAD, OPTIONS"),
    ("OPTIONS", "/api/login", 204, "OPTIONS, POST, PUT"),
    ("HEAD", "/api/login", 405, "OPTIONS, POST, PUT"),
    ("GET", "/api/login", 405, "OPTIONS, POST, PUT"),
    ("PATCH", "/api/products/7", 405, "GET, HEAD, OPTIONS"),
    ("PROPFIND", "/api/products/7", 405, "GET, HEAD, OPTIONS"),
    ("DELETE", "/api/users/me", 405, "GET, HEAD, OPTIONS"),
    ("GET", "/api/users/3", 405, "DELETE, OPTIONS"),
]


@pytest.fixture
def client(project):
    return project.write(TREE).client()


def test_a_url_is_handled_by_its_file(client) -> None:
    for url, (file, params) in FOUND.items():
        response = client.get(url)
        assert (url, response.status_code) == (url, 200)
        assert (response.json()["file"], response.json()["params"]) == (file, params)


def test_a_url_without_a_file_is_404(client) -> None:
    assert [url for url in NOT_FOUND if client.get(f"http://testserver{url}").status_code != 404] == []


def test_a_query_parameter_does_not_fill_an_optional_catch_all(client) -> None:
    body = client.get("/api/docs?slug=query").json()
    assert body["params"] == {}
    assert body["query"] == {"slug": "query"}


def test_other_methods_are_405_and_options_is_204_with_allow(client) -> None:
    for method, url, status, allow in AUTOMATIC:
        response = client.request(method, url)
        assert (method, url, response.status_code, response.headers["allow"]) == (method, url, status, allow)
        assert status != 204 or response.content == b""


def test_head_is_get_without_the_body(client) -> None:
    get, head = client.get("/api/products/7"), client.head("/api/products/7")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers == get.headers


def test_head_does_not_wait_for_a_stream_to_end(project) -> None:
    project.write(
        {
            "s.py": """
            import asyncio
            from collections.abc import AsyncIterator
            from fastapi.sse import EventSourceResponse, ServerSentEvent
            from filerouter import operation

            @operation(response_class=EventSourceResponse)
            async def get() -> AsyncIterator[ServerSentEvent]:
                while True:
                    yield ServerSentEvent(data="tick")
                    await asyncio.sleep(0.01)
            """
        }
    )
    response = project.client().head("/api/s")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.content == b""


def test_head_and_options_handlers_replace_the_automatic_ones(project) -> None:
    project.write(
        {
            "x.py": """
            from fastapi import Response

            async def get() -> str:
                return "get"

            async def head(response: Response) -> None:
                response.headers["x-head"] = "own"

            async def options() -> str:
                return "options"
            """
        }
    )
    client = project.client()
    assert client.head("/api/x").headers["x-head"] == "own"
    assert client.options("/api/x").json() == "options"
    assert client.post("/api/x").headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("/api/products/7/", "/api/products/7"),
        ("/api/", "/api"),
        ("/api/docs/", "/api/docs"),
        ("/api/files/x/y/z/?a=1&b=%2F", "/api/files/x/y/z?a=1&b=%2F"),
        ("/api/products/%C3%A9%5Cx/", "/api/products/%C3%A9%5Cx"),
    ],
)
def test_a_trailing_slash_redirects_to_the_url_without_it(url: str, location: str, client) -> None:
    for method in ("GET", "POST", "DELETE"):
        response = client.request(method, url, headers={"host": "evil.example"})
        assert (response.status_code, response.headers["location"]) == (308, location)


def test_the_redirect_never_leaves_the_host(project) -> None:
    project.write({"[a]/[b].py": echo("x", "a: str", "b: str")})
    client = project.client(prefix="")
    for url in ("//evil.example/", "///evil.example/x/", "/%2Fevil.example/x/", "/\\evil.example/x/"):
        response = client.get(f"http://testserver{url}")
        assert not response.headers.get("location", "").startswith(("//", "/\\"))


def test_the_redirect_keeps_mount_and_root_path(project) -> None:
    outer = FastAPI()
    outer.mount("/outer", project.write({"x.py": echo("x")}).mount())
    client = TestClient(outer, follow_redirects=False, root_path="/proxy")
    assert client.get("/proxy/outer/api/x/").headers["location"] == "/proxy/outer/api/x"
    assert client.get("/proxy/outer/api/x").status_code == 200
    # A proxy that strips its prefix: the client's URL has it, the path does not.
    stripped = TestClient(project.mount(), follow_redirects=False, root_path="/proxy")
    assert stripped.get("/api/x/").headers["location"] == "/proxy/api/x"
    assert stripped.get("/api/x").status_code == 200


def test_the_exception_handlers_of_the_application_format_errors(project) -> None:
    app = FastAPI()

    @app.exception_handler(HTTPException)
    async def problem(request: Request, error: HTTPException) -> JSONResponse:
        body = {"status": error.status_code}
        return JSONResponse(body, error.status_code, error.headers, "application/problem+json")

    client = project.write(TREE).client(app)
    for method, url, status in [
        ("GET", "/api/nothing", 404),
        ("PATCH", "/api/users/me", 405),
        ("GET", "/api/users/me/", 308),
    ]:
        response = client.request(method, url)
        assert (response.status_code, response.json()) == (status, {"status": status})
        assert response.headers["content-type"] == "application/problem+json"


def test_a_tree_can_be_mounted_at_the_root(project) -> None:
    client = project.write({"index.py": echo("index"), "x.py": echo("x")}).client(prefix="")
    assert client.get("/").json()["file"] == "index"
    assert client.get("/x").json()["file"] == "x"
    assert client.get("/x/").headers["location"] == "/x"
    assert client.get("/docs").status_code == 200
    assert client.get("/y").status_code == 404
