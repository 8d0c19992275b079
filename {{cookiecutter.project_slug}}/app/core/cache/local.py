"""Copies inside the process: what makes a hit cost less than a microsecond, and what carries an outage."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from app.core.cache.entry import Entry, Keys

MOST_BYTES = 32 * 1024 * 1024
MOST_COPIES = 10_000


@dataclass(slots=True)
class Copy:
    """An entry and its decoded value; times are monotonic seconds."""

    entry: Entry
    value: Any
    keys: Keys
    tags: tuple[str, ...]
    shared: bool
    """Whether all callers may get the one value."""
    stale: bool = False
    until: float = 0.0
    """Served without asking the server."""
    dies: float = 0.0
    """End of its freshness."""
    retry_at: float = 0.0
    """No new attempt after one that failed."""


class Local:
    """The most recently used copies, bounded in number and in bytes of JSON."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.copies: OrderedDict[Hashable, Copy] = OrderedDict()
        self.most_bytes, self.bytes = most_bytes, 0

    def put(self, key: Hashable, copy: Copy) -> None:
        """Keep it, and let go of what was not looked up for longest; a hit moves nothing, to be cheap."""
        self.drop(key)
        if len(copy.entry.body) > self.most_bytes:  # it would push out all others, and then itself
            return
        self.copies[key] = copy
        self.bytes += len(copy.entry.body)
        while self.copies and (self.bytes > self.most_bytes or len(self.copies) > MOST_COPIES):
            self.drop(next(iter(self.copies)))

    def drop(self, key: Hashable) -> None:
        """Forget one copy."""
        if copy := self.copies.pop(key, None):
            self.bytes -= len(copy.entry.body)

    def with_tag(self, tag: str) -> list[Hashable]:
        """Keys of the copies that carry the tag."""
        return [key for key, copy in self.copies.items() if tag in copy.tags]
