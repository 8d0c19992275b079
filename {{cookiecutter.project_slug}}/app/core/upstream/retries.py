"""When to try again, how soon and how often in all."""

import random
import time
from email.utils import parsedate_to_datetime

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
PASSING = frozenset({502, 503, 504})
"""Statuses of an upstream that may work in a moment; 429 joins them when it says when."""


class Budget:
    """Retries may be a tenth of all calls, and ten at once, or they would become the load themselves."""

    def __init__(self, ratio: float = 0.1, most: float = 10) -> None:
        self.ratio, self.most, self.left = ratio, most, most

    def earn(self) -> None:
        """A call was made."""
        self.left = min(self.most, self.left + self.ratio)

    def spend(self) -> bool:
        """Whether one more retry may be made."""
        if self.left < 1:
            return False
        self.left -= 1
        return True


def delay(attempt: int) -> float:
    """Seconds before retry 0, 1, …: full jitter below 0.1 s, 0.2 s, …, 1 s."""
    return random.uniform(0, min(1, 0.1 * 2**attempt))  # noqa: S311 (no secret)


def retry_after(value: str | None) -> float | None:
    """Seconds from a `Retry-After` header (RFC 9110 §10.2.3), None when there is none that can be read."""
    if not value:
        return None
    if value.isdecimal() and value.isascii():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
