"""Filling: the function is run by one process at a time, who holds a lease; the others wait for its entry."""

import asyncio
import random
import secrets
import time
from typing import Any

import structlog

from app.core.cache import audience
from app.core.cache.entry import Entry, Marks, State, born, unpack
from app.core.cache.function import Function
from app.core.cache.link import Away
from app.core.cache.local import Copy
from app.core.cache.server import FAILED, FILL_SECONDS, Seen
from app.core.cache.status import Outcome
from app.core.cache.store import Store
from app.core.errors import NotFound, Problem

log = structlog.get_logger(__name__)
ROUNDS = 3
Answer = tuple[Copy, Outcome]


class Fill:
    """The arguments of one call, and how their value is made."""

    def __init__(
        self,
        store: Store,
        function: Function,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        old: Copy | None = None,
    ) -> None:
        self.store, self.server, self.function, self.windows = store, store.server, function, function.windows
        self.args, self.kwargs = args, kwargs
        self.tags = old.tags if old else function.tags(args, kwargs)
        self.keys = old.keys if old else function.keys(args, kwargs, self.tags)
        self.rounds, self.overtaken = 0, False

    def judge(self, seen: Seen, old: Copy | None = None) -> tuple[Copy | None, State]:
        """What was read, decoded unless `old` is the same; None when it is gone."""
        entry = unpack(seen.entry)
        state = entry.judge(seen.marks, self.windows) if entry else "gone"
        if entry is None or state == "gone":
            return None, "gone"
        if old and old.entry == entry:
            return old, state
        try:
            return self._copy(entry), state
        except ValueError:
            return None, "gone"

    async def fill(self, seen: Seen, old: Copy | None) -> Answer:
        """Run the function, or wait for the process that does; `old` is there in case that it fails."""
        token, pause, deadline = secrets.token_hex(8), 0.01, time.monotonic() + FILL_SECONDS
        while time.monotonic() < deadline:
            if seen.lease is None:
                held, seen = await self.server.acquire(self.keys, token)
                copy, state = self.judge(seen)
                if held and state not in ("fresh", "stale"):
                    return await self.run(token, seen.marks, old)
                if held:  # filled since we read
                    await self.server.release(self.keys, token)
            else:
                copy, state = self.judge(seen)
            if copy and state in ("fresh", "stale"):
                return copy, "collapsed"
            if seen.lease == FAILED:
                return (copy, "stale-if-error") if copy else await self.run_alone(None)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 (no secret)
            pause = min(pause * 1.5, 0.2)
            seen = await self.server.read(self.keys)
        return await self.run_alone(old)

    async def run(self, token: str, marks: Marks, old: Copy | None) -> Answer:
        """With the lease. What an expiration overtook is made again, for callers who came after it."""
        try:
            async with self.server.holding(self.keys, token):
                copy = await self._call(marks)
        except Exception as error:
            answer = self._instead(old, error)
            await self._give_back(token, self.windows.negative if answer else 0)
            if answer is None:
                raise
            return answer
        seconds = self.windows.negative if copy.entry.missing else self.windows.expire
        seconds += 0 if copy.entry.missing else self.windows.stale_if_error
        try:
            kept, now = await self.server.store(self.keys, token, copy.entry.pack(), seconds)
        except Away:
            return copy, "degraded"
        if now[::2] == marks[::2]:
            return copy, "miss" if kept else "degraded"
        self.rounds += 1
        self.overtaken = self.rounds >= ROUNDS
        return (copy, "miss") if self.overtaken else await self.fill(Seen(None, None, now), None)

    async def run_alone(self, old: Copy | None) -> Answer:
        """Without the server."""
        if old and time.monotonic() < old.retry_at:
            return old, "stale-if-error"
        epoch = self.store.epoch
        try:
            copy = await self._call(())
        except Exception as error:
            if answer := self._instead(old, error):
                return answer
            raise
        self.rounds += 1
        if epoch != self.store.epoch and self.rounds < ROUNDS:
            return await self.run_alone(old)
        return copy, "degraded"

    def _instead(self, old: Copy | None, error: Exception) -> Answer | None:
        """The old value in place of a failure; an answer such as 403 is no failure."""
        if old is None or (isinstance(error, Problem) and error.status < 500):
            return None
        old.retry_at = time.monotonic() + self.windows.negative
        log.warning("cached call failed, older value served", name=self.function.name, error=repr(error))
        return old, "stale-if-error"

    async def _call(self, marks: Marks) -> Copy:
        at = born(self.windows)
        # What it calls in turn is for the same audience. We are a task: the context is our own.
        audience.serve(audience.of(self.function.scope))
        try:
            value = await self.function.call(*self.args, **self.kwargs)
        except NotFound as error:
            return self._copy(Entry(time.time(), marks, (error.detail or "").encode(), missing=True))
        return self._copy(Entry(at, marks, self.function.codec.dump(value)))

    def _copy(self, entry: Entry) -> Copy:
        """Decoded also when we made it ourselves, so that all callers get the same."""
        value = entry.body.decode() if entry.missing else self.function.codec.load(entry.body)
        return Copy(entry, value, self.keys, self.tags, self.function.codec.shared and not entry.missing)

    async def _give_back(self, token: str, pause: float) -> None:
        try:
            await self.server.release(self.keys, token, pause)
        except Away:
            return  # it expires by itself
