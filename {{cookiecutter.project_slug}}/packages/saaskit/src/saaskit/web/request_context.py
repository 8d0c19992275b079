"""The context of a request: its id, the trace that it continues, its log line and `Cache-Status`."""

import re
import secrets
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from saaskit import tracing
from saaskit.cache_context import CacheStatus

log = structlog.get_logger("app.request")
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
        if tracing.is_valid(traceparent := headers.get("traceparent", "")):
            context["traceparent"] = traceparent
        with structlog.contextvars.bound_contextvars(**context), cache_status:
            try:
                await self.app(scope, receive, send_with_id)
            finally:
                log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    ms=round((time.perf_counter() - started_at) * 1000, 1),
                )
