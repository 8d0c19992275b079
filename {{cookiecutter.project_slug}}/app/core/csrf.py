"""Cross-site request forgery: nobody else's page may change anything here.

Browsers say where a request comes from. An unsafe one needs `Sec-Fetch-Site: same-origin` (or
`none`: the user typed it); from browsers too old for that, or over plain http, an `Origin` that is
ours. A program that sends neither may pass, without cookies. Holds for sign-in and sign-up too.
"""

from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.errors import Forbidden
from app.core.problems import problem_response

SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}
Refused = Callable[[HTTPConnection, Forbidden], Awaitable[None]]


def is_ours(headers: Headers, origin: str) -> bool:
    """Whether an unsafe request with these headers comes from our own pages, or from no page."""
    if site := headers.get("sec-fetch-site"):
        return site in ("same-origin", "none")
    if sent := headers.get("origin"):
        return sent == origin
    return "cookie" not in headers


class SameOrigin:
    """Refuses foreign requests before they reach a route. Pure ASGI. `origin` is our own."""

    def __init__(self, app: ASGIApp, *, origin: str, refused: Refused) -> None:
        self.app, self.origin, self.refused = app, origin, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass what is ours or safe; a websocket is never safe, and says so by its Origin."""
        headers = Headers(scope=scope) if scope["type"] != "lifespan" else None
        if scope["type"] == "websocket" and headers and headers.get("origin", self.origin) != self.origin:
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http" or scope["method"] in SAFE or is_ours(Headers(scope=scope), self.origin):
            await self.app(scope, receive, send)
            return
        error = Forbidden("This request came from another site.", event="request.cross_site")
        request = Request(scope)
        await self.refused(request, error)
        await problem_response(request, error.status, error.detail)(scope, receive, send)
