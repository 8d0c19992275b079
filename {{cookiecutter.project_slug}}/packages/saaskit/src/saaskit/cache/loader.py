"""Load the value of one call: read its entry, compute it if it is missing, refresh it if it is stale.

All callers of one key in a process share one load. Across processes, one computes the value under a lease
while the others wait for its entry.
"""

import asyncio
import random
import secrets
from collections.abc import Hashable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog

from saaskit.cache.redis_backend import FAILED, MAX_LEASE_SECONDS, CacheUnavailable, Stored, TagVersions
from saaskit.cache.store import Entry, MemoryEntry, State, Store, jittered, unpack
from saaskit.cache_context import Outcome, vary_by_user
from saaskit.errors import NotFound, Problem

if TYPE_CHECKING:
    from saaskit.cache.decorator import CachedFunction

log = structlog.get_logger(__name__)
MAX_ATTEMPTS = 3
"""How often a value is computed for one load while invalidations overtake it."""
STALE_LOCAL_SECONDS = 0.25
Loaded = tuple[MemoryEntry, Outcome]


class Loader:
    """One load. `known` is the entry in memory, if there is one, with the keys of the call."""

    def __init__(
        self,
        store: Store,
        function: "CachedFunction",
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        key: Hashable,
        known: MemoryEntry | None,
    ) -> None:
        self.store, self.backend = store, store.backend
        self.function, self.windows = function, function.windows
        self.args, self.kwargs, self.key = args, kwargs, key
        self.keys = known.keys if known else function.entry_keys(args, kwargs)
        self.attempts, self.outdated = 0, False

    async def load(self) -> Loaded:
        """Return the entry for all callers that wait for the key, and remember it for later ones."""
        invalidations, old = self.store.invalidations, self.store.memory.entries.get(self.key)
        try:
            entry, outcome = await self._load_from_server(old)
        except CacheUnavailable:
            entry, outcome = await self._load_from_memory(old)
        entry.stale = outcome in ("stale", "stale-if-error")
        self._remember(entry, invalidations)
        return entry, outcome

    async def _load_from_server(self, old: MemoryEntry | None) -> Loaded:
        stored = await self.backend.read(self.keys)
        entry, state = self._decode(stored, old)
        if entry and state == "fresh":
            return entry, "hit"
        if entry and state == "stale":
            if stored.lease is None:
                self._start_refresh(entry)
            return entry, "stale"
        return await self._compute_once(stored, entry)

    async def _load_from_memory(self, old: MemoryEntry | None) -> Loaded:
        """Decide by age alone. Invalidations by other processes are unknown until the server is back."""
        state = old.entry.state(None, self.windows, self.store.clock()) if old else "invalid"
        if old and state == "fresh" and not old.stale:
            return old, "hit"
        if old and state in ("fresh", "stale"):
            self._start_refresh(old)
            return old, "stale"
        return await self._compute_without_server(old if state == "expired" else None)

    def _decode(self, stored: Stored, old: MemoryEntry | None = None) -> tuple[MemoryEntry | None, State]:
        """Return the stored entry and its state; `old` itself if it is the same, None if it is invalid."""
        entry = unpack(stored.entry)
        state = entry.state(stored.tag_versions, self.windows, self.store.clock()) if entry else "invalid"
        if entry is None or state == "invalid":
            return None, "invalid"
        if old and old.entry == entry:
            return old, state
        try:
            return self._memory_entry(entry), state
        except ValueError:
            return None, "invalid"

    def _memory_entry(self, entry: Entry) -> MemoryEntry:
        """Decode also an entry that this process made, so that all callers get equal values."""
        value = entry.body.decode() if entry.not_found else self.function.codec.load(entry.body)
        shared = self.function.codec.immutable and not entry.not_found
        return MemoryEntry(entry, value, self.keys, shared)

    def _remember(self, entry: MemoryEntry, invalidations: int) -> None:
        """Keep the entry in memory. For `local` seconds, invalidations by other processes are not seen."""
        lifetime = self.windows.negative if entry.entry.not_found else self.windows.revalidate
        remaining, now = lifetime - entry.entry.age(self.store.clock()), self.store.monotonic()
        entry.fresh_until = now + remaining
        if not self.outdated:
            trusted = min(self.function.local, STALE_LOCAL_SECONDS if entry.stale else remaining)
            entry.trusted_until = now + trusted
        if invalidations == self.store.invalidations:  # this process has not invalidated a tag meanwhile
            self.store.memory.put(self.key, entry)

    def _start_refresh(self, old: MemoryEntry) -> None:
        key = (self.key, "refresh")
        if key not in self.store.flights and self.store.monotonic() >= old.retry_at:
            self.store.start(key, self._refresh(old))

    async def _refresh(self, old: MemoryEntry) -> None:
        """Compute the value in the background, in one of all processes while the server is available."""
        invalidations, token = self.store.invalidations, secrets.token_hex(8)
        try:
            acquired, stored = await self.backend.acquire(self.keys, token)
            if not acquired:
                return
            entry, state = self._decode(stored)
            if entry and state == "fresh":  # another process refreshed it after this one had read it
                await self.backend.release(self.keys, token)
            else:
                entry, _ = await self._compute_with_lease(token, stored.tag_versions, old)
        except CacheUnavailable:
            entry, _ = await self._compute_without_server(old)
        if entry is not old:
            self._remember(entry, invalidations)

    async def _compute_once(self, stored: Stored, old: MemoryEntry | None) -> Loaded:
        """Compute the value, or wait for the process that does. `old` is returned if the call fails."""
        token, pause = secrets.token_hex(8), 0.01
        deadline = self.store.monotonic() + MAX_LEASE_SECONDS
        while self.store.monotonic() < deadline:
            if stored.lease is None:
                acquired, stored = await self.backend.acquire(self.keys, token)
                entry, state = self._decode(stored)
                if acquired and state not in ("fresh", "stale"):
                    return await self._compute_with_lease(token, stored.tag_versions, old)
                if acquired:  # another process stored it after this one had read it
                    await self.backend.release(self.keys, token)
            else:
                entry, state = self._decode(stored)
            if entry and state in ("fresh", "stale"):
                return entry, "collapsed"
            if stored.lease == FAILED:
                return (entry, "stale-if-error") if entry else await self._compute_without_server(None)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 (no secret)
            pause = min(pause * 1.5, 0.2)
            stored = await self.backend.read(self.keys)
        return await self._compute_without_server(old)

    async def _compute_with_lease(self, token: str, versions: TagVersions, old: MemoryEntry | None) -> Loaded:
        """Call the function and store its value. Call it again if `update_tag` overtook the call."""
        try:
            async with self.backend.renewed(self.keys, token):
                entry = await self._call(versions)
        except Exception as error:
            fallback = self._fallback(old, error)
            with suppress(CacheUnavailable):  # the lease expires by itself
                await self.backend.release(self.keys, token, self.windows.negative if fallback else 0)
            if fallback is None:
                raise
            return fallback
        longest = self.windows.expire + self.windows.stale_if_error
        seconds = self.windows.negative if entry.entry.not_found else longest
        try:
            held, current = await self.backend.store(self.keys, token, entry.entry.pack(), seconds)
        except CacheUnavailable:
            return entry, "degraded"
        if current[::2] == versions[::2]:
            return entry, "miss" if held else "degraded"
        self.attempts += 1
        self.outdated = self.attempts >= MAX_ATTEMPTS
        if self.outdated:
            return entry, "miss"
        return await self._compute_once(Stored(None, None, current), None)

    async def _compute_without_server(self, old: MemoryEntry | None) -> Loaded:
        if old and self.store.monotonic() < old.retry_at:
            return old, "stale-if-error"
        invalidations = self.store.invalidations
        try:
            entry = await self._call(())
        except Exception as error:
            if fallback := self._fallback(old, error):
                return fallback
            raise
        self.attempts += 1
        if invalidations != self.store.invalidations and self.attempts < MAX_ATTEMPTS:
            return await self._compute_without_server(old)
        return entry, "degraded"

    def _fallback(self, old: MemoryEntry | None, error: Exception) -> Loaded | None:
        """Return the old value in place of a failure. A response below 500, such as 403, is not a failure."""
        if old is None or (isinstance(error, Problem) and error.status < 500):
            return None
        old.retry_at = self.store.monotonic() + self.windows.negative
        log.warning("cached call failed, older value returned", name=self.function.name, error=repr(error))
        return old, "stale-if-error"

    async def _call(self, versions: TagVersions) -> MemoryEntry:
        created_at = jittered(self.store.clock(), self.windows)
        # The function must not see more of the user than its audience distinguishes: cached functions that
        # it calls would return values for that user. A load is a task, so this changes only its own context.
        identity = self.function.identity()
        vary_by_user(identity.user, identity.tenant)
        try:
            value = await self.function.call(*self.args, **self.kwargs)
        except NotFound as error:
            detail = (error.detail or "").encode()
            return self._memory_entry(Entry(self.store.clock(), versions, detail, not_found=True))
        return self._memory_entry(Entry(created_at, versions, self.function.codec.dump(value)))
