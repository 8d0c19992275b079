"""In development: the next request sees what was saved, and a broken file says so until it is mended."""

import sys
from collections.abc import Callable

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from filerouter.problems import RouteTreeError


class Reload:
    """Called before each request. Gives the report while the tree is broken."""

    def __init__(self, has_changed: Callable[[], bool], refresh: Callable[[], None]) -> None:
        self.has_changed, self.refresh = has_changed, refresh
        self.report: str | None = None

    def __call__(self) -> str | None:
        # What broke the tree may have been mended elsewhere, so a broken tree is read at each request.
        if self.report is not None or self.has_changed():
            try:
                self.refresh()
                self.report = None
            except RouteTreeError as error:
                if error.report != self.report:
                    print(error.report, file=sys.stderr, flush=True)  # noqa: T201
                self.report = error.report
        return self.report


async def answer_broken(report: str, scope: Scope, receive: Receive, send: Send) -> None:
    """The report as a problem of RFC 9457, straight to the developer who waits for it."""
    if scope["type"] == "websocket":
        return await WebSocketClose(1011)(scope, receive, send)
    problem = {"type": "about:blank", "title": "Broken route tree", "status": 500, "detail": report}
    return await JSONResponse(problem, 500, media_type="application/problem+json")(scope, receive, send)
