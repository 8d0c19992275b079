"""Every error that a client can see, as an RFC 9457 problem document.

Problem
├── BadRequest             400  the request is malformed
├── Unauthorized           401  authentication is required
├── Forbidden              403  authenticated, but not allowed
├── NotFound               404  the resource does not exist, or not for this user
├── Conflict               409  the request conflicts with existing data
├── PreconditionFailed     412  the resource changed since the client read it
├── PayloadTooLarge        413  the request body is larger than the route accepts
├── UnsupportedMediaType   415  the request body has an unsupported content type
├── Unprocessable          422  well-formed, but invalid: `errors` lists the fields
├── TooManyRequests        429  rate limited: `Retry-After` says how long to wait
├── BadGateway             502  an upstream is down or sent an invalid response
├── ServiceUnavailable     503  a service that we need does not respond
│   ├── DatabaseUnavailable
│   └── UpstreamUnavailable     an upstream, or our share of it, is busy
├── GatewayTimeout         504  an upstream did not respond in time
└── (any other exception)  500  a bug; the log has the traceback under the request id

Services raise these errors; handlers do not catch them. The class defines status, title and headers; the
code that raises it writes the sentence.
"""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar

__all__ = [
    "BadGateway",
    "BadRequest",
    "Conflict",
    "DatabaseUnavailable",
    "Forbidden",
    "GatewayTimeout",
    "NotFound",
    "PayloadTooLarge",
    "PreconditionFailed",
    "Problem",
    "ServiceUnavailable",
    "TooManyRequests",
    "Unauthorized",
    "Unprocessable",
    "UnsupportedMediaType",
    "UpstreamUnavailable",
    "title",
]

# Titles from RFC 9110 §15.5. Python before 3.13 has older ones, and the API must not depend on that.
_TITLES = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}


def title(status: int) -> str:
    """Return the status code's reason phrase: the title of a problem without a type (RFC 9457 §4.2.1)."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


class Problem(Exception):
    """An error response. `detail` is one sentence for a person and says what to do."""

    status: ClassVar[int] = 500
    headers: Mapping[str, str] = {}

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: list[dict[str, str]] | None = None,
        event: str | None = None,
        user_id: int | None = None,
    ) -> None:
        """Create the error. `event` is recorded in the audit log, for user `user_id` if given."""
        super().__init__(detail)
        self.detail = detail
        self.errors = errors or []
        self.event, self.user_id = event, user_id


class BadRequest(Problem):
    """400."""

    status = 400


class Unauthorized(Problem):
    """401. Names the scheme, as RFC 9110 §11.6.1 requires."""

    status = 401
    headers: Mapping[str, str] = {"WWW-Authenticate": "Session"}


class Forbidden(Problem):
    """403."""

    status = 403


class NotFound(Problem):
    """404."""

    status = 404


class Conflict(Problem):
    """409."""

    status = 409


class PreconditionFailed(Problem):
    """412."""

    status = 412


class PayloadTooLarge(Problem):
    """413."""

    status = 413


class UnsupportedMediaType(Problem):
    """415."""

    status = 415


class Unprocessable(Problem):
    """422."""

    status = 422


class TooManyRequests(Problem):
    """429. `seconds` is the time to wait."""

    status = 429

    def __init__(self, detail: str, *, seconds: int, event: str | None = None) -> None:
        super().__init__(detail, event=event)
        self.headers = {"Retry-After": str(max(1, seconds))}


class BadGateway(Problem):
    """502."""

    status = 502


class ServiceUnavailable(Problem):
    """503, to be retried after a moment."""

    status = 503
    headers: Mapping[str, str] = {"Retry-After": "1"}


class DatabaseUnavailable(ServiceUnavailable):
    """PostgreSQL does not respond."""

    def __init__(self, detail: str = "The database does not respond. Try again in a moment.") -> None:
        super().__init__(detail)


class UpstreamUnavailable(ServiceUnavailable):
    """The named upstream is at capacity, or its breaker is open."""

    def __init__(self, name: str, seconds: float = 1) -> None:
        super().__init__(f"{name} is busy. Try again in a moment.")
        self.headers = {"Retry-After": str(math.ceil(min(seconds, 3600)))}


class GatewayTimeout(Problem):
    """504."""

    status = 504
