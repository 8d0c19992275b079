"""Requests for hosts that are not ours end here."""

from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.problems import problem_response


class KnownHosts:
    """Exactly one Host, and one of `hosts` (`*` for any). Pure ASGI; what Starlette refuses is a problem."""

    def __init__(self, app: ASGIApp, *, hosts: list[str]) -> None:
        self.app = app
        self.check = TrustedHostMiddleware(_known, hosts, www_redirect=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other scopes pass."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        said: list[Message] = []

        async def note(message: Message) -> None:
            said.append(message)

        await self.check(scope, receive, note)
        if not said and len(Headers(scope=scope).getlist("host")) == 1:
            return await self.app(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        refusal = problem_response(Request(scope), 400, "This is not the host of this API.")
        return await refusal(scope, receive, send)


async def _known(scope: Scope, receive: Receive, send: Send) -> None:
    """Reached by what Starlette lets in: it says nothing."""
