"""Calls to one upstream: breaker, retries, time limit, and errors as problems that name the upstream.

httpx2's transport is used without its client, which would store cookies, follow redirects and read proxies
from the environment. Importing it takes 0.3 s, so this module is imported at the first call.
"""

import asyncio
import random
import socket
import time
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TypeVar

import httpx2
import structlog
from opentelemetry import propagate
from pydantic import TypeAdapter, ValidationError

from saaskit.errors import BadGateway, BadRequest, GatewayTimeout, NotFound, Problem, UpstreamUnavailable
from saaskit.tracing import child_traceparent
from saaskit.upstream.breaker import Breaker, BreakerOpen, Call
from saaskit.upstream.rules import Limits

log = structlog.get_logger(__name__)
T = TypeVar("T")
_adapter = lru_cache(maxsize=256)(TypeAdapter)
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
RETRYABLE_STATUSES = frozenset({502, 503, 504})
"""Statuses after which a retry may succeed. 429 is one of them if it has a `Retry-After`."""
CONNECTION_ERRORS = (httpx2.TransportError, httpx2.StreamError)
"""Errors of a failed connection, before and within a response."""


class UnreadableBody(Exception):
    """The body is too large, corrupt, or in an encoding that we did not ask for."""


@dataclass
class OpenResponse:
    """A response whose body is still to be read. It uses its connection until `http.aclose()`.

    An unread body closes the connection, which the upstream notices.
    """

    http: httpx2.Response
    call: Call
    """Reports the outcome to the breaker."""


class RetryBudget:
    """Limits retries to a share of all calls, plus a burst, so that they do not overload the upstream."""

    def __init__(self, ratio: float = 0.1, burst: float = 10) -> None:
        self.ratio, self.burst, self.left = ratio, burst, burst

    def record_call(self) -> None:
        """Add the share of one call to the budget."""
        self.left = min(self.burst, self.left + self.ratio)

    def take(self) -> bool:
        """Take one retry from the budget. Return False if there is none left."""
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass
class Deadline:
    """The time (monotonic) at which a call with its retries must end, and the attempt in progress."""

    at: float
    call: Call | None = None


class UpstreamTransport:
    """Sends all calls to one upstream. They share the connections, the breaker and the retry budget.

    `headers` are sent with each request and replace the caller's.
    """

    def __init__(self, name: str, base_url: str, headers: Mapping[str, str], limits: Limits) -> None:
        self.name, self.base_url, self.headers, self.limits = name, base_url.rstrip("/"), headers, limits
        self.breaker, self.retry_budget = Breaker(), RetryBudget()
        concurrency = limits.concurrency
        self._connections = httpx2.AsyncHTTPTransport(
            limits=httpx2.Limits(
                max_connections=concurrency, max_keepalive_connections=concurrency, keepalive_expiry=5
            ),
            # Backpressure starts only when the kernel's buffer is full, and all of it ends up in our memory.
            socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, limits.buffer_bytes)],
        )

    async def request(
        self, method: str, path: str, query: str, headers: Mapping[str, str], content: bytes, model: type[T]
    ) -> T:
        """Send a request, and return the JSON of its response as `model`. An empty body is null.

        Raises Problem.
        """
        async with self.deadline() as deadline:
            response = await self.send(method, path, query, headers, content, deadline)
            async with aclosing(response.http) as http:
                if problem := error_from_response(self.name, http):
                    raise problem
                try:
                    body = await read_limited(http, self.limits.response_bytes)
                    value: T = _adapter(model).validate_json(body or b"null")
                except CONNECTION_ERRORS as error:
                    response.call.failed()
                    raise self._problem(error) from error
                except (UnreadableBody, ValidationError) as error:
                    response.call.failed()
                    raise self._invalid(error) from None
                response.call.succeeded()
                return value

    @asynccontextmanager
    async def deadline(self) -> AsyncIterator[Deadline]:
        """End the block within the total time limit. Raises GatewayTimeout."""
        deadline = Deadline(time.monotonic() + self.limits.total)
        try:
            async with asyncio.timeout(self.limits.total):
                yield deadline
        except TimeoutError:
            if deadline.call:
                deadline.call.failed()
            raise self._timed_out("total") from None
        except BaseException:
            if deadline.call:
                deadline.call.abandoned()
            raise

    async def send(
        self,
        method: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        content: bytes,
        deadline: Deadline,
    ) -> OpenResponse:
        """Return the response, of any status, with its headers read. Retries if that is safe."""
        request = self._request(method, path + (f"?{query}" if query else ""), headers, content)
        self.retry_budget.record_call()
        attempt = 0
        while True:
            try:
                response = await self._attempt(request, deadline)
            except BadGateway as error:
                delay = _delay_after_error(method, error, attempt)
                if delay is None or not self._take_retry(attempt, delay, deadline):
                    raise
            else:
                delay = _delay_after_response(method, response.http, attempt)
                if delay is None or not self._take_retry(attempt, delay, deadline):
                    return response
                await response.http.aclose()
            await asyncio.sleep(delay)
            attempt += 1

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.aclose()

    def _request(
        self, method: str, target: str, headers: Mapping[str, str], content: bytes
    ) -> httpx2.Request:
        limits = self.limits
        timeout = {"connect": limits.connect, "read": limits.read, "write": limits.read, "pool": limits.pool}
        merged = {**headers, **tracing_headers(), **self.headers}
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in merged.items()]
        try:
            return httpx2.Request(
                method,
                self.base_url + target,
                headers=encoded,
                content=content or None,
                extensions={"timeout": timeout},
            )
        except httpx2.InvalidURL:
            raise BadRequest("The URL is too long to forward.") from None

    async def _attempt(self, request: httpx2.Request, deadline: Deadline) -> OpenResponse:
        try:
            call = self.breaker.start_call()
        except BreakerOpen as error:
            raise UpstreamUnavailable(self.name, error.seconds) from None
        deadline.call = call
        try:
            response = await self._connections.handle_async_request(request)
        except httpx2.PoolTimeout:
            call.abandoned()
            raise UpstreamUnavailable(self.name) from None
        except CONNECTION_ERRORS as error:
            call.failed()
            raise self._problem(error) from error
        response.request = request
        if response.status_code >= 500:
            call.failed()
        elif not response.is_success:
            call.succeeded()
        return OpenResponse(response, call)

    def _take_retry(self, attempt: int, delay: float, deadline: Deadline) -> bool:
        """Return whether the limits allow a retry after `delay` seconds, and take it from the budget."""
        in_time = time.monotonic() + delay + self.limits.connect < deadline.at
        return attempt < self.limits.retries and in_time and self.retry_budget.take()

    def _problem(self, error: Exception) -> BadGateway | GatewayTimeout:
        """Return the problem for a connection error, and log it."""
        if isinstance(error, httpx2.TimeoutException) and not isinstance(error, httpx2.ConnectTimeout):
            return self._timed_out(type(error).__name__)
        log.warning("upstream failed", upstream=self.name, error=type(error).__name__)
        return BadGateway(f"The connection to {self.name} failed.")

    def _invalid(self, error: UnreadableBody | ValidationError) -> BadGateway:
        details = error.errors(include_input=False)[:3] if isinstance(error, ValidationError) else str(error)
        log.warning("upstream response invalid", upstream=self.name, error=str(details))
        return BadGateway(f"{self.name} sent an invalid response.")

    def _timed_out(self, limit: str) -> GatewayTimeout:
        log.warning("upstream timed out", upstream=self.name, limit=limit)
        return GatewayTimeout(f"{self.name} did not respond in time.")


def _delay_after_error(method: str, error: BadGateway, attempt: int) -> float | None:
    """Return the seconds until a retry; None unless the request is idempotent, or was never sent."""
    never_sent = isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout)
    return backoff(attempt) if method in IDEMPOTENT or never_sent else None


def _delay_after_response(method: str, response: httpx2.Response, attempt: int) -> float | None:
    """Return the seconds until a retry may succeed; None if the response is final."""
    seconds = retry_after(response.headers.get("retry-after"))
    status = response.status_code
    retryable = status in RETRYABLE_STATUSES or (status == 429 and seconds is not None)
    if not retryable or method not in IDEMPOTENT:
        return None
    return backoff(attempt) if seconds is None else seconds


def backoff(attempt: int) -> float:
    """Return the seconds before retry 0, 1, …: full jitter below 0.1 s, 0.2 s, …, 1 s."""
    return random.uniform(0, min(1, 0.1 * 2**attempt))  # noqa: S311 (no secret)


def retry_after(value: str | None) -> float | None:
    """Return the seconds of a `Retry-After` header (RFC 9110 §10.2.3), None if it is missing or invalid."""
    if not value:
        return None
    if value.isdecimal() and value.isascii():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def tracing_headers() -> dict[str, str]:
    """Return the request id and trace context of the current request or job."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    context = structlog.contextvars.get_contextvars()
    request_id = str(context.get("request_id") or "")
    carrier.setdefault("traceparent", child_traceparent(str(context.get("traceparent") or ""), request_id))
    return carrier | ({"x-request-id": request_id} if request_id else {})


def error_from_response(name: str, response: httpx2.Response) -> Problem | None:
    """Return the problem for the response's status, None for a success and for 304."""
    status = response.status_code
    if 200 <= status < 300 or status == 304:
        return None
    if status in (404, 410):
        return NotFound(f"Not found at {name}.")
    if status in (429, 503):
        return UpstreamUnavailable(name, retry_after(response.headers.get("retry-after")) or 1)
    if status == 504:
        return GatewayTimeout(f"{name} did not respond in time.")
    # A redirect could lead to any host. 401 means that our secret is wrong, not that the caller must sign in.
    return BadGateway(f"{name} returned an error.")


async def read_limited(response: httpx2.Response, limit: int) -> bytes:
    """Return the body, decompressed. Decompression stops at `limit` bytes. Raises UnreadableBody."""
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise UnreadableBody(f"content-encoding {encoding[:20]!r}")
    gzip = zlib.decompressobj(zlib.MAX_WBITS | 16) if encoding == "gzip" else None
    body = bytearray()
    async with aclosing(response.aiter_raw()) as raw:
        async for chunk in raw:
            try:
                body += gzip.decompress(chunk, limit + 1) if gzip else chunk
            except zlib.error as error:
                raise UnreadableBody("corrupt gzip") from error
            if len(body) > limit:
                raise UnreadableBody(f"larger than {limit} bytes")
    if gzip and not gzip.eof:
        raise UnreadableBody("incomplete gzip")
    return bytes(body)
