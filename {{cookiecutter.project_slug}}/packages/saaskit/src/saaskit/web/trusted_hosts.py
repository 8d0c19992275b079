"""Requests for hosts that are not ours are refused."""

import re

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from saaskit.web.problems import problem_response

_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


class TrustedHostMiddleware:
    """Require exactly one `Host` header, with a name in `hosts`.

    `*` stands for any host, `*.example.com` for any subdomain. Unlike Starlette's middleware of the same
    name, it refuses a repeated header and responds with a problem document.
    """

    def __init__(self, app: ASGIApp, *, hosts: list[str]) -> None:
        if wrong := [
            host for host in hosts if "*" in host[1:] or (host[0:1] == "*" and host[1:2] not in ("", "."))
        ]:
            raise ValueError(f"{wrong[0]}: write a wildcard as *.example.com")
        self.app = app
        self.names = {host.lower() for host in hosts if not host.startswith("*")}
        self.suffixes = tuple(host[1:].lower() for host in hosts if host.startswith("*."))
        self.any = "*" in hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        if self.is_trusted(Headers(scope=scope).getlist("host")):
            return await self.app(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        response = problem_response(Request(scope), 400, "This host is not served here.")
        return await response(scope, receive, send)

    def is_trusted(self, headers: list[str]) -> bool:
        """Return whether these `Host` headers name one of our hosts."""
        if len(headers) != 1:
            return False
        if self.any:
            return True
        match = _HOST.fullmatch(headers[0])
        if not match or match["name"].startswith("."):
            return False
        name = match["name"].lower()
        return name in self.names or name.endswith(self.suffixes)
