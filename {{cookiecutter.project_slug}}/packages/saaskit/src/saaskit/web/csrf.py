"""Protection against cross-site request forgery.

Browsers state where a request comes from. An unsafe request needs `Sec-Fetch-Site: same-origin` (or `none`,
if the user typed the URL). From browsers that do not send it, or over plain HTTP, it needs an `Origin` that
is ours. A program that sends neither header may pass if it sends no cookies.
"""

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from saaskit.errors import Forbidden
from saaskit.web.problems import OnRefusal, problem_response

SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}


def is_same_origin(headers: Headers, origin: str) -> bool:
    """Return whether an unsafe request with these headers comes from our own pages or from no page."""
    if site := headers.get("sec-fetch-site"):
        return site in ("same-origin", "none")
    if sent := headers.get("origin"):
        return sent == origin
    return "cookie" not in headers


class CSRFMiddleware:
    """Refuse unsafe requests and WebSocket connections from other origins. `origin` is our own."""

    def __init__(self, app: ASGIApp, *, origin: str, on_refusal: OnRefusal) -> None:
        self.app, self.origin, self.on_refusal = app, origin, on_refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "websocket" and Headers(scope=scope).get("origin", self.origin) != self.origin:
            return await send({"type": "websocket.close", "code": 1008})
        if (
            scope["type"] != "http"
            or scope["method"] in SAFE_METHODS
            or is_same_origin(Headers(scope=scope), self.origin)
        ):
            return await self.app(scope, receive, send)
        error = Forbidden("This request came from another site.", event="request.cross_site")
        request = Request(scope)
        await self.on_refusal(request, error)
        response = problem_response(request, error.status, error.detail)
        return await response(scope, receive, send)
