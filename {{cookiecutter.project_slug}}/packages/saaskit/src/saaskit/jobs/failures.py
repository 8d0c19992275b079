"""The ways a job can fail, the stored form of an error, and the decision to retry."""

import random
import re
import traceback
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from saaskit.jobs.job import options_of
from saaskit.jobs.queries import Claim, finish

MAX_DELAY = 3600
UNKNOWN_KIND_DELAY = 60
"""Seconds until a job that this worker's code does not know is retried: a deployment is probably running."""

_SECRETS = (
    (re.compile(r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"), "***"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), r"\1 ***"),
    (
        re.compile(
            r"(?i)((?:password|passwd|secret|token|api[_-]?key|authorization|cookie)[\w-]{0,40}['\"]?\s{0,5}[=:]\s{0,5})"
            r"('[^']*'|\"[^\"]*\"|[^\s,;)}\]]+)"
        ),
        r"\1***",
    ),
    (re.compile(r"\[parameters: .*?\]\n|\[parameters: .*", re.DOTALL), "[parameters: ***]\n"),
    (re.compile(r"input_value=.{0,2000}?(?=, input_type)", re.DOTALL), "input_value=***"),
)
_MAX_INPUT = 50_000
"""Characters that are searched for secrets: errors can quote text of any size, and leases wait meanwhile."""


class PermanentFailure(Exception):
    """Raise it in a handler when a retry cannot help. The job's owner sees the message."""


class InvalidArguments(Exception):
    """The job class rejects the stored arguments. A retry cannot help."""


class UnknownKind(Exception):
    """The worker's code has no such job, or knows only an older version of it."""


class TimeLimitExceeded(Exception):
    """The job ran longer than its class allows."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"The job exceeded its time limit of {seconds:g} s.")


class JobCancelled(BaseException):
    """Raised by `JobContext.progress` to end the handler. `except Exception` does not catch it."""


def redact(text: str, limit: int) -> str:
    """Return text without secrets, in characters that PostgreSQL can store. If too long, its end is kept."""
    text = text[-_MAX_INPUT:]
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    text = text.replace("\x00", "\ufffd").encode(errors="replace").decode()
    return text if len(text) <= limit else "…" + text[1 - limit :]


def describe_error(error: BaseException) -> dict[str, Any]:
    """Return the stored form of an error: type, message, traceback; `public` if the owner may see it."""
    lines = "".join(traceback.format_exception(error))
    return {
        "type": type(error).__name__,
        "message": redact(str(error), 1000),
        "traceback": redact(lines, 8000),
        "public": isinstance(error, PermanentFailure | TimeLimitExceeded),
    }


def retry_delay(attempt: int, backoff: float) -> float:
    """Return the seconds between this attempt and the next: doubled each time, with jitter."""
    return min(MAX_DELAY, backoff * 2 ** (attempt - 1)) * random.uniform(0.5, 1)  # noqa: S311 (no secret)


async def handle_failure(db: AsyncSession, claimed: Claim, error: BaseException) -> str:
    """Record a failed attempt. Returns the job's new state, or `lost` if the lease is lost.

    The job is dead after its last attempt, or if a retry cannot help; otherwise it is queued again.
    """
    permanent = isinstance(error, PermanentFailure | InvalidArguments)
    if permanent or claimed.attempts >= claimed.max_attempts:
        state, delay = "dead", 0.0
    elif isinstance(error, UnknownKind):
        state, delay = "queued", UNKNOWN_KIND_DELAY
    else:
        state, delay = "queued", retry_delay(claimed.attempts, options_of(claimed.kind).backoff)
    error_info = describe_error(error)
    return await finish(db, claimed, state, outcome="failed", error=error_info, delay=delay) or "lost"
