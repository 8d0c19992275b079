"""What surrounds every answer: request id, security headers, Cache-Status, one log line, 413 as a problem.

Pure ASGI (about a microsecond); outside of FastAPI's own error handling, so that 413 and 500 are
covered too.
"""

import json
import re
import secrets
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core import trace
from app.core.cache import status as cache_status

log = structlog.get_logger("app.request")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Sent with every answer that does not set its own (OWASP Secure Headers Project, REST part)."""
HSTS = "max-age=63072000; includeSubDomains"


class Envelope:
    """Wraps the whole application."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self.app = app
        self.headers = SECURITY_HEADERS | ({"Strict-Transport-Security": HSTS} if https else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other scopes pass."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        sent = Headers(scope=scope).get("x-request-id", "")
        request_id = sent if _REQUEST_ID.fullmatch(sent) else secrets.token_hex(8)
        scope["request_id"] = request_id
        started = time.perf_counter()
        status = 500
        replaced = False
        cached, watching = cache_status.watch()

        async def wrapped(message: Message) -> None:
            nonlocal status, replaced
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
                if cached:
                    headers["Cache-Status"] = cache_status.header(cached)
                if status == 413 and "problem" not in headers.get("content-type", ""):
                    # Starlette's limiter answers in plain text, from outside of our handlers.
                    replaced = True
                    body = _too_large(request_id)
                    headers["Content-Type"] = "application/problem+json"
                    headers["Content-Length"] = str(len(body))
                    await send(message)
                    return await send({"type": "http.response.body", "body": body})
            elif replaced:
                return None
            return await send(message)

        names = {"request_id": request_id}
        if trace.valid(parent := Headers(scope=scope).get("traceparent", "")):
            names["traceparent"] = parent
        with structlog.contextvars.bound_contextvars(**names):
            try:
                await self.app(scope, receive, wrapped)
            except Exception:
                # The answer (500) has been sent. The server would log it again, without the id.
                log.exception("request failed")
            finally:
                cache_status.unwatch(watching)
                log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    ms=round((time.perf_counter() - started) * 1000, 1),
                )


def _too_large(request_id: str) -> bytes:
    problem = {"type": "about:blank", "title": "Content Too Large", "status": 413}
    detail = "The request's body is larger than this route accepts."
    return json.dumps(problem | {"detail": detail, "request_id": request_id}).encode()
