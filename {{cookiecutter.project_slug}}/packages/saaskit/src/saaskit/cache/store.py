"""The cache of one process: entries in its memory, the server behind them, and the calls in progress.

The entries in memory make a hit cost about a microsecond, and carry an outage of the server. The age of
an entry determines its state:

age      0 ......... revalidate ......... expire ............ + stale_if_error
state      fresh        stale: returned      expired: returned   invalid
                        while it refreshes   if the call fails

Each tag has two versions on the server, random tokens: `update_tag` replaces the first, which makes entries
invalid; `revalidate_tag` replaces the second, which makes them stale. An entry stores the versions that were
current when its computation began, so a computation that an invalidation overtook never counts. A version
that the server lost matches nothing: the entry is not used.
"""

import asyncio
import random
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from saaskit.cache.redis_backend import (
    TIMEOUT_SECONDS,
    EntryKeys,
    RedisBackend,
    TagVersions,
    tag_version_keys,
)

State = Literal["fresh", "stale", "expired", "invalid"]


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


MAX_BYTES = 32 * 1024 * 1024
MAX_ENTRIES = 10_000


@dataclass(slots=True)
class MemoryEntry:
    """An entry and its decoded value. All times are monotonic seconds."""

    entry: Entry
    value: Any
    keys: EntryKeys
    shared: bool
    """Whether all callers may get the same object."""
    stale: bool = False
    trusted_until: float = 0.0
    """Until then it is returned without asking the server."""
    fresh_until: float = 0.0
    retry_at: float = 0.0
    """No new attempt is made earlier after a failed one."""


class Memory:
    """The most recently loaded entries, bounded in number and in bytes of JSON."""

    def __init__(self, max_bytes: int = MAX_BYTES, max_entries: int = MAX_ENTRIES) -> None:
        self.entries: OrderedDict[Hashable, MemoryEntry] = OrderedDict()
        self.max_bytes, self.max_entries, self.bytes = max_bytes, max_entries, 0

    def put(self, key: Hashable, entry: MemoryEntry) -> None:
        """Add the entry and evict the oldest ones. A hit does not reorder entries, which keeps it cheap."""
        self.drop(key)
        size = len(entry.entry.body)
        if size > self.max_bytes:  # it would evict all others, and then itself
            return
        self.entries[key] = entry
        self.bytes += size
        while self.entries and (self.bytes > self.max_bytes or len(self.entries) > self.max_entries):
            self.drop(next(iter(self.entries)))

    def drop(self, key: Hashable) -> None:
        """Remove one entry, if it is there."""
        if entry := self.entries.pop(key, None):
            self.bytes -= len(entry.entry.body)

    def tagged(self, tag: str) -> list[Hashable]:
        """Return the keys of the entries with this tag."""
        return [key for key, entry in self.entries.items() if tag in entry.keys.tags]


class Store:
    """The cache of one process and event loop.

    `clock` returns Unix time for the age of entries; `monotonic` measures intervals in this process.
    `timeout` is for one reply of the server, in seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self.backend = RedisBackend(url, timeout)
        self.memory = Memory()
        self.clock, self.monotonic = clock, monotonic
        self.invalidations = 0
        """Number of tags that this process has invalidated."""
        self.flights: dict[Hashable, asyncio.Task[Any]] = {}
        """Calls in progress by key. Callers of the same key wait for the same one."""
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, key: Hashable, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start the work as the key's flight. It goes on when its caller is cancelled: others may wait."""
        task = self.flights[key] = asyncio.create_task(work)
        self._tasks.add(task)

        def finish(task: asyncio.Task[Any]) -> None:
            self._tasks.discard(task)
            if self.flights.get(key) is task:
                del self.flights[key]
            if not task.cancelled():
                task.exception()  # retrieve it, so that asyncio does not warn if no caller waits

        task.add_done_callback(finish)
        return task

    @contextmanager
    def activate(self) -> Iterator[None]:
        """Make this the current store of the thread during the block."""
        _thread.stores.append(self)
        try:
            yield
        finally:
            _thread.stores.remove(self)

    async def aclose(self) -> None:
        """Cancel the calls in progress and close the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.backend.connection.aclose()


class _Thread(threading.local):
    """Each thread has its own stores: a Celery worker with a pool of threads runs one event loop in each."""

    def __init__(self) -> None:
        self.stores = [Store("")]


_thread = _Thread()


def current_store() -> Store:
    """Return the thread's active store. Without one, values are cached in the thread's memory only."""
    return _thread.stores[-1]


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Store]:
    """Use the cache server at `url` during the block. Applications and workers wrap their lifetime in it."""
    store = Store(url)
    try:
        with store.activate():
            yield store
    finally:
        await store.aclose()


async def revalidate_tag(tag: str) -> None:
    """Mark the tag's entries as stale: they are returned while they refresh."""
    store = current_store()
    await store.backend.replace_tag_version(tag_version_keys(tag)[1])
    store.invalidations += 1
    for key in store.memory.tagged(tag):
        entry = store.memory.entries[key]
        entry.trusted_until, entry.stale = 0.0, True


async def update_tag(tag: str) -> None:
    """Expire the tag's entries now, to read your own writes. Call it after the commit."""
    store = current_store()
    await store.backend.replace_tag_version(tag_version_keys(tag)[0])
    store.invalidations += 1
    store.flights.clear()
    for key in store.memory.tagged(tag):
        store.memory.drop(key)


async def is_available() -> bool:
    """Return whether the cache server responds. Cached functions work without it."""
    return await current_store().backend.is_available()
