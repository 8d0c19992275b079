"""Every error that a client can see, as an RFC 9457 problem document.

Problem
├── BadRequest          400  the request cannot be understood
├── Unauthorized        401  nobody is signed in
├── Forbidden           403  somebody is, and may not
├── NotFound            404  there is no such thing, or not for you
├── Conflict            409  it is there already, or in use
├── PreconditionFailed  412  it changed since you read it
├── PayloadTooLarge     413  more than this route takes
├── UnsupportedMediaType 415 the body is of another kind than we read
├── Unprocessable       422  understood, and wrong: `errors` says where
├── TooManyRequests     429  again, but not now: `Retry-After` says when
├── UpstreamFailed      502  a foreign API is dead, or answers nonsense
├── Unavailable         503  a service we need does not answer; try again
│   ├── DatabaseUnavailable
│   └── UpstreamBusy         a foreign API, or our share of it, is full
├── UpstreamLate        504  a foreign API did not answer in time
└── (anything else)     500  our fault; the log has the traceback under the request's id

Services raise these; no handler catches them. Status, title and headers belong to the class,
the sentence to the place that raises it.
"""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar

# Of RFC 9110 §15.5. Python before 3.13 has older ones, and an answer must not depend on that.
_PHRASES = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}


def phrase(status: int) -> str:
    """The status code's own name: the title of problems without a type of their own (RFC 9457 §4.2.1)."""
    return _PHRASES.get(status) or HTTPStatus(status).phrase


class Problem(Exception):
    """An answer that is not a success. `detail` is one sentence for a person and says what to do."""

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
        """`event` goes into the audit trail, of user `user_id` if one is known."""
        super().__init__(detail)
        self.detail = detail
        self.errors = errors or []
        self.event, self.user_id = event, user_id


class BadRequest(Problem):
    """400."""

    status = 400


class Unauthorized(Problem):
    """401; names the scheme, as RFC 9110 §11.6.1 requires."""

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
    """429; `seconds` is how long to wait."""

    status = 429

    def __init__(self, detail: str, *, seconds: int, event: str | None = None) -> None:
        super().__init__(detail, event=event)
        self.headers = {"Retry-After": str(max(1, seconds))}


class UpstreamFailed(Problem):
    """502."""

    status = 502


class Unavailable(Problem):
    """503, to be tried again after a moment."""

    status = 503
    headers: Mapping[str, str] = {"Retry-After": "1"}


class DatabaseUnavailable(Unavailable):
    """PostgreSQL does not answer."""

    def __init__(self, detail: str = "The database does not answer. Try again in a moment.") -> None:
        super().__init__(detail)


class UpstreamBusy(Unavailable):
    """The named API is full, or out of order for a while."""

    def __init__(self, name: str, seconds: float = 1) -> None:
        super().__init__(f"{name} is busy. Try again in a moment.")
        self.headers = {"Retry-After": str(math.ceil(min(seconds, 3600)))}


class UpstreamLate(Problem):
    """504."""

    status = 504
