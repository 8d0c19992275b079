"""One look-up: ask the server, judge what it has, fill what is missing, refresh what is stale.

All callers of one key in a process share one look-up.
"""

import secrets
import time
from collections.abc import Hashable

from app.core.cache.fill import Answer, Fill
from app.core.cache.link import Away
from app.core.cache.local import Copy

STALE_LOCAL_SECONDS = 0.25


class Lookup(Fill):
    """Adds reading and refreshing to the filling."""

    async def answer(self, key: Hashable) -> Answer:
        """The value for all who wait for `key`, kept as a copy for those who come next."""
        epoch, old = self.store.epoch, self.store.local.copies.get(key)
        try:
            copy, outcome = await self._ask(key, old)
        except Away:
            copy, outcome = await self._without_server(key, old)
        copy.stale = outcome in ("stale", "stale-if-error")
        self._keep(key, copy, epoch)
        return copy, outcome

    def _keep(self, key: Hashable, copy: Copy, epoch: int) -> None:
        """As a copy for a moment, in which invalidations by other processes are not seen."""
        whole = self.windows.negative if copy.entry.missing else self.windows.revalidate
        left, now = whole - copy.entry.age(), time.monotonic()
        copy.dies = now + left
        if not self.overtaken:
            copy.until = now + min(self.function.local, STALE_LOCAL_SECONDS if copy.stale else left)
        self.store.keep(key, copy, epoch)

    async def _ask(self, key: Hashable, old: Copy | None) -> Answer:
        seen = await self.server.read(self.keys)
        copy, state = self.judge(seen, old)
        if copy and state == "fresh":
            return copy, "hit"
        if copy and state == "stale":
            if seen.lease is None:
                self._refresh(key, copy)
            return copy, "stale"
        return await self.fill(seen, copy)

    async def _without_server(self, key: Hashable, old: Copy | None) -> Answer:
        """By age alone: what other processes invalidated is not known here until the server is back."""
        state = old.entry.judge(None, self.windows) if old else "gone"
        if old and state == "fresh" and not old.stale:
            return old, "hit"
        if old and state in ("fresh", "stale"):
            self._refresh(key, old)
            return old, "stale"
        return await self.run_alone(old if state == "expired" else None)

    def _refresh(self, key: Hashable, old: Copy) -> None:
        """In the background, once in this process, and once in all while the server answers."""
        if (key, "refresh") not in self.store.flights and time.monotonic() >= old.retry_at:
            self.store.join((key, "refresh"), self._refreshed(key, old))

    async def _refreshed(self, key: Hashable, old: Copy) -> None:
        epoch, token = self.store.epoch, secrets.token_hex(8)
        try:
            held, seen = await self.server.acquire(self.keys, token)
            copy, state = self.judge(seen)
            if held and copy and state == "fresh":  # refreshed since we read
                await self.server.release(self.keys, token)
            else:
                copy = (await self.run(token, seen.marks, old))[0] if held else old
        except Away:
            copy, _ = await self.run_alone(old)
        if copy is not old:
            self._keep(key, copy, epoch)
