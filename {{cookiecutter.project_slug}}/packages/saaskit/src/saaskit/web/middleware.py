"""The middleware that every request passes, in the order of the list in `app/main.py`."""

import asyncio
import re
import secrets
import time
from collections.abc import Collection

import structlog
from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import cors
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from saaskit import tracing
from saaskit.cache_context import CacheStatus
from saaskit.errors import Forbidden
from saaskit.web.problems import ErrorPage, OnRefusal, problem_response

request_log = structlog.get_logger("app.request")
log = structlog.get_logger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestContextMiddleware:
    """Give each request an id, and write one log line when it is done. Put it first in the list.

    The id is the client's `X-Request-ID` if it is well-formed. It is returned in the response and added to
    every log line of the request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        sent_id = headers.get("x-request-id", "")
        request_id = sent_id if _REQUEST_ID.fullmatch(sent_id) else secrets.token_hex(8)
        scope["request_id"] = request_id
        started_at = time.perf_counter()
        status = 500
        cache_status = CacheStatus()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                response_headers = MutableHeaders(scope=message)
                response_headers["X-Request-ID"] = request_id
                if outcomes := cache_status.header():
                    response_headers["Cache-Status"] = outcomes
            await send(message)

        context = {"request_id": request_id}
        if (traceparent := headers.get("traceparent")) and tracing.is_valid(traceparent):
            context["traceparent"] = traceparent
        with structlog.contextvars.bound_contextvars(**context), cache_status:
            try:
                await self.app(scope, receive, send_with_id)
            finally:
                request_log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    ms=round((time.perf_counter() - started_at) * 1000, 1),
                )


SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
HSTS = "max-age=63072000; includeSubDomains"


class SecurityHeadersMiddleware:
    """Add each security header that a response does not set itself (OWASP Secure Headers Project, REST part).

    `https` adds Strict-Transport-Security.
    """

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self.app = app
        self.headers = SECURITY_HEADERS | ({"Strict-Transport-Security": HSTS} if https else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
            await send(message)

        return await self.app(scope, receive, send_with_headers)


class CORSMiddleware(cors.CORSMiddleware):
    """Let pages of these origins send requests with cookies and read the responses, errors too.

    Put it before every middleware that responds itself. Requests of other origins get no CORS header at all;
    Starlette's middleware of the same name sends them some.
    """

    def __init__(self, app: ASGIApp, *, origins: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=("If-Match", "If-None-Match", "Idempotency-Key", "Last-Event-ID", "X-Request-ID"),
            allow_credentials=True,
            expose_headers=("ETag", "Link", "Location", "Retry-After", "X-Request-ID"),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and Headers(scope=scope).get("origin") not in self.allow_origins:
            # As without an `Origin`: the response gets `Vary: Origin` only.
            return await self.simple_response(scope, receive, send, request_headers=Headers())
        return await super().__call__(scope, receive, send)


class ProblemMiddleware:
    """Respond to errors that no exception handler sees: bugs (500) and bodies over the limit (413).

    Starlette's `RequestBodyLimitMiddleware`, which must come after this one, responds in plain text.
    """

    def __init__(self, app: ASGIApp, *, error_page: ErrorPage | None = None) -> None:
        self.app, self.error_page = app, error_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        started = replaced = False

        async def send_problem(status: int, detail: str) -> None:
            request = Request(scope)
            response = problem_response(request, status, detail, error_page=self.error_page)
            await response(scope, receive, send)

        async def send_or_replace(message: Message) -> None:
            nonlocal started, replaced
            if message["type"] == "http.response.start":
                started = True
                content_type = MutableHeaders(scope=message).get("content-type", "")
                if message["status"] == 413 and content_type.startswith("text/plain"):
                    replaced = True
                    await send_problem(413, "The request body is larger than this route accepts.")
            if not replaced:
                await send(message)

        try:
            await self.app(scope, receive, send_or_replace)
        except Exception:
            log.exception("request failed")
            if not started:
                await send_problem(500, "An error occurred on our side. The log has the details.")


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


SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}
"""Methods that change nothing and have no body (RFC 9110 §9.2.1)."""


def is_trusted_origin(headers: Headers, origin: str, frontend_origins: Collection[str] = ()) -> bool:
    """Return whether an unsafe request with these headers comes from our own pages, a frontend or no page."""
    if headers.get("origin") in frontend_origins:
        return True
    if site := headers.get("sec-fetch-site"):
        return site in ("same-origin", "none")
    if sent := headers.get("origin"):
        return sent == origin
    return "cookie" not in headers


class CSRFMiddleware:
    """Protect against cross-site request forgery: refuse unsafe requests from other origins than `origin`.

    Pages of `frontend_origins` may send them, too: browsers do not let a page choose its `Origin`.
    Browsers state where a request comes from. An unsafe request needs `Sec-Fetch-Site: same-origin` (or
    `none`, if the user typed the URL). From browsers that do not send it, or over plain HTTP, it needs our
    own `Origin`, and so does a WebSocket connection. A program that sends neither header may pass if it
    sends no cookies.
    """

    def __init__(
        self, app: ASGIApp, *, origin: str, on_refusal: OnRefusal, frontend_origins: Collection[str] = ()
    ) -> None:
        self.app, self.origin, self.on_refusal = app, origin, on_refusal
        self.frontend_origins = frozenset(frontend_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "websocket":
            sent = Headers(scope=scope).get("origin", self.origin)
            if sent != self.origin and sent not in self.frontend_origins:
                return await send({"type": "websocket.close", "code": 1008})
        if (
            scope["type"] != "http"
            or scope["method"] in SAFE_METHODS
            or is_trusted_origin(Headers(scope=scope), self.origin, self.frontend_origins)
        ):
            return await self.app(scope, receive, send)
        error = Forbidden("This request came from another site.", event="request.cross_site")
        request = Request(scope)
        await self.on_refusal(request, error)
        response = problem_response(request, error.status, error.detail)
        return await response(scope, receive, send)


class BodyTimeoutMiddleware:
    """Respond with 408 unless the whole body arrives within `seconds`, so that slow clients hold nothing."""

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        self.app, self.seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] in SAFE_METHODS:
            return await self.app(scope, receive, send)
        deadline = asyncio.get_running_loop().time() + self.seconds
        complete = False

        async def receive_in_time() -> Message:
            nonlocal complete
            if complete:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(
                    408, "The request body took too long to arrive.", {"Connection": "close"}
                ) from None
            complete = not message.get("more_body", False)
            return message

        return await self.app(scope, receive_in_time, send)
