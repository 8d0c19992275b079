"""One cached answer, and how old it may be.

age      0 ......... revalidate ......... expire ......... + stale_if_error
state      fresh        stale: served        expired: served     gone
                        while it refreshes   if the call fails

Each tag has two marks on the server, random tokens that change: `update_tag` changes the first (gone at
once), `revalidate_tag` the second (stale at once). An entry carries the marks that were there when its fill
began, so a fill that an invalidation overtook never counts. A mark that the server lost equals none: a miss.
"""

import random
import time
from typing import Literal, NamedTuple

State = Literal["fresh", "stale", "expired", "gone"]
Marks = tuple[bytes | None, ...]


class Keys(NamedTuple):
    """Where an entry lives: itself, the lease on its fill, two marks for each tag."""

    entry: str
    lease: str
    marks: tuple[str, ...]


class Windows(NamedTuple):
    """Seconds. `negative` is for NotFound, and for the pause after a failed refresh."""

    revalidate: float
    expire: float
    stale_if_error: float
    negative: float


class Entry(NamedTuple):
    """JSON, or the detail of a NotFound; `at` is the wall clock at the start of its fill."""

    at: float
    marks: Marks
    body: bytes
    missing: bool = False

    def pack(self) -> bytes:
        """Bytes for the server: a line of facts, then the JSON as it is."""
        kind = b"missing" if self.missing else b"value"
        return (
            b" ".join([kind, b"%.3f" % self.at, *(mark or b"-" for mark in self.marks)]) + b"\n" + self.body
        )

    def judge(self, marks: Marks | None, windows: Windows) -> State:
        """What it is worth now; without the server (None) its marks cannot be compared."""
        age = self.age()
        if marks is not None and not _same(self.marks[::2], marks[::2]):
            return "gone"
        if self.missing:
            return "fresh" if age < windows.negative else "gone"
        if age >= windows.expire:
            return "expired" if age < windows.expire + windows.stale_if_error else "gone"
        return (
            "stale"
            if age >= windows.revalidate or not (marks is None or _same(self.marks, marks))
            else "fresh"
        )

    def age(self) -> float:
        """Seconds; a clock that runs ahead on another machine counts as new."""
        return max(0.0, time.time() - self.at)


def _same(ours: Marks, theirs: Marks) -> bool:
    return ours == theirs and None not in theirs


def unpack(raw: bytes | None) -> Entry | None:
    """The entry, or None for anything that `pack` did not write."""
    head, line, body = (raw or b"").partition(b"\n")
    kind, *facts = head.split(b" ")
    try:
        marks = tuple(None if fact == b"-" else fact for fact in facts[1:])
        return Entry(float(facts[0]), marks, body, kind == b"missing") if line else None
    except (ValueError, IndexError):
        return None


def born(windows: Windows) -> float:
    """The time to write into a new entry: up to 5 % early, so that what is filled together parts later."""
    return time.time() - random.random() * 0.05 * windows.revalidate  # noqa: S311 (no secret)
