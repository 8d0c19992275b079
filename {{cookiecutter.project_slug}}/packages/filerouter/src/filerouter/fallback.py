"""The last route of every place: it answers what the file's own methods do not."""

import re
from collections.abc import Sequence
from urllib.parse import quote

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose


class Fallback(Route):
    """Claims its path for every method and for sockets: the path decides, then the method.

    HEAD is the file's `get` without its body, OPTIONS is 204, all else 405, and the path with one slash
    too many is 308. Errors are raised, so the handlers of the application give them their form.
    """

    def __init__(self, path: str, methods: Sequence[str], get: APIRoute | None) -> None:
        self.allow = ", ".join(sorted({*methods, "OPTIONS", *(["HEAD"] if get else [])})) if methods else ""
        self.own, self.get = methods, get
        super().__init__(path, _Answer(self), name="", include_in_schema=False)
        self.path_regex = whole(self.path_regex, "" if path == "/" else "/?")

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As every route, and for sockets too: one that the file lacks is no other file's."""
        return super().matches({**scope, "type": "http"} if scope["type"] == "websocket" else scope)


def whole(pattern: re.Pattern[str], more: str = "") -> re.Pattern[str]:
    """The pattern of a path, matching nothing but the whole: `$` would also match before a line feed."""
    return re.compile(pattern.pattern.removesuffix("$") + more + r"\Z")


class _Answer:
    """What a Fallback answers, as an ASGI application: thus the route takes every method."""

    def __init__(self, route: Fallback) -> None:
        self.route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            return await WebSocketClose()(scope, receive, send)
        route, method = self.route, scope["method"]
        if scope["path"].endswith("/") and route.path != "/":
            raise HTTPException(308, headers={"Location": _without_slash(scope)})
        if not route.allow:
            raise HTTPException(404)
        if method == "HEAD" and route.get:
            scope.update(route=route.get, endpoint=route.get.endpoint)
            return await _without_body(route.get, scope, receive, send)
        raise HTTPException(204 if method == "OPTIONS" else 405, headers={"Allow": route.allow})


def _without_slash(scope: Scope) -> str:
    """Path and query, never the host. One leading slash only: two would name a host."""
    path, root = scope["path"], scope.get("root_path", "")
    if root and not path.startswith(root):
        path = root + path
    query = scope["query_string"].decode("latin-1")
    location = "/" + quote(path.strip("/"), safe="/:@!$&'()*+,;=~", errors="replace")
    return f"{location}?{query}" if query else location


async def _without_body(get: APIRoute, scope: Scope, receive: Receive, send: Send) -> None:
    """Run the handler, send its headers only, and stop a stream that would never end."""
    over = False

    async def headers_only(message: Message) -> None:
        nonlocal over
        if message["type"] == "http.response.start":
            await send(message)
        elif not over:
            over = True
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def receive_until_over() -> Message:
        return {"type": "http.disconnect"} if over else await receive()

    # Before ASGI 2.4 a streaming response ends when `receive` says so, which here it can.
    scope["asgi"] = {**scope.get("asgi", {}), "spec_version": "2.3"}
    await get.app(scope, receive_until_over, headers_only)
