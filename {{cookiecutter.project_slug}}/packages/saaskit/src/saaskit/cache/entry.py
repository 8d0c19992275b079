"""Cache entries: a value as JSON, its creation time, and the versions of its tags.

age      0 ......... revalidate ......... expire ............ + stale_if_error
state      fresh        stale: returned      expired: returned   invalid
                        while it refreshes   if the call fails

Each tag has two versions on the server, random tokens: `update_tag` replaces the first, which makes entries
invalid; `revalidate_tag` replaces the second, which makes them stale. An entry stores the versions that were
current when its computation began, so a computation that an invalidation overtook never counts. A version
that the server lost matches nothing: the entry is not used.
"""

import random
from typing import Literal, NamedTuple

State = Literal["fresh", "stale", "expired", "invalid"]
TagVersions = tuple[bytes | None, ...]
"""Two for each tag: its update version and its revalidate version. None: the server has none."""


class Windows(NamedTuple):
    """Seconds. `negative` is for a cached NotFound, and for the pause after a failed refresh."""

    revalidate: float
    expire: float
    stale_if_error: float
    negative: float


class Entry(NamedTuple):
    """`body` is the value as JSON, or the detail of a NotFound. `created_at` is Unix time."""

    created_at: float
    tag_versions: TagVersions
    body: bytes
    not_found: bool = False

    def pack(self) -> bytes:
        """Return the entry as bytes: a header line, then the body."""
        kind = b"missing" if self.not_found else b"value"
        versions = (version or b"-" for version in self.tag_versions)
        return b" ".join([kind, b"%.3f" % self.created_at, *versions]) + b"\n" + self.body

    def state(self, versions: TagVersions | None, windows: Windows, now: float) -> State:
        """Return the state at Unix time `now`. `versions` are the current ones; None if they are unknown."""
        age = self.age(now)
        if versions is not None and not _same(self.tag_versions[::2], versions[::2]):
            return "invalid"
        if self.not_found:
            return "fresh" if age < windows.negative else "invalid"
        if age >= windows.expire:
            return "expired" if age < windows.expire + windows.stale_if_error else "invalid"
        if age >= windows.revalidate or not (versions is None or _same(self.tag_versions, versions)):
            return "stale"
        return "fresh"

    def age(self, now: float) -> float:
        """Return the age in seconds. An entry from a machine whose clock is ahead counts as new."""
        return max(0.0, now - self.created_at)


def _same(stored: TagVersions, current: TagVersions) -> bool:
    return stored == current and None not in current


def unpack(raw: bytes | None) -> Entry | None:
    """Return the packed entry, or None for bytes that `pack` did not write."""
    header, newline, body = (raw or b"").partition(b"\n")
    kind, *parts = header.split(b" ")
    try:
        versions = tuple(None if part == b"-" else part for part in parts[1:])
        return Entry(float(parts[0]), versions, body, kind == b"missing") if newline else None
    except (ValueError, IndexError):
        return None


def jittered(created_at: float, windows: Windows) -> float:
    """Return a time up to 5 % of `revalidate` earlier: entries created together do not expire together."""
    return created_at - random.random() * 0.05 * windows.revalidate  # noqa: S311 (no secret)
