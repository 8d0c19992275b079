"""How a job may fail, and how failures are written down: without what must not be kept."""

import re
import traceback
from typing import Any

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


MOST = 50_000
"""Characters that are looked at: what an error quotes may be of any size, and leases wait meanwhile."""


class GiveUp(Exception):
    """No further attempt will help. The sentence is shown to the job's owner."""


class BadArguments(Exception):
    """The job's class refuses its arguments, today and for ever."""


class UnknownKind(Exception):
    """The worker's code is older, or newer, than the job."""


class TimeLimitExceeded(Exception):
    """The job took longer than its class allows."""


class Stopped(BaseException):
    """Raised by `progress` when the handler shall end. `except Exception` lets it pass."""


def clean(text: str, limit: int) -> str:
    """Text that PostgreSQL can hold, with secrets struck out, and not longer than `limit`: its end."""
    text = text[-MOST:]
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    text = text.replace("\x00", "\ufffd").encode(errors="replace").decode()
    return text if len(text) <= limit else "…" + text[1 - limit :]


def described(error: BaseException) -> dict[str, Any]:
    """What is stored of an error: type, message, traceback; `public` if its owner may read the message."""
    lines = "".join(traceback.format_exception(error))
    return {
        "type": type(error).__name__,
        "message": clean(str(error), 1000),
        "traceback": clean(lines, 8000),
        "public": isinstance(error, GiveUp | TimeLimitExceeded),
    }
