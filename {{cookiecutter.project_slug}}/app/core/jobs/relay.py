"""The relay: tells the broker which jobs are due, and brings back what got lost. Any number may run.

Woken by NOTIFY when somebody commits a job, and once a period in any case.
"""

import asyncio
import time
from contextlib import suppress
from datetime import datetime
from uuid import UUID

import asyncpg
import structlog

from app.core.db import Sessions, create_engine, create_sessions
from app.core.jobs import due
from app.core.jobs.broker import Broker
from app.core.jobs.kinds import kinds
from app.core.jobs.schedules import tick
from app.settings import Settings

log = structlog.get_logger("app.relay")
WINDOW = 100
"""Messages that wait in a queue at most. All others wait in the table, in the order of their priority."""
FULL_SECONDS = 0.05
"""Until a full window is looked at again."""


class Relay:
    """One of them. `once` is a whole round; `run` repeats it until `stop`."""

    def __init__(self, settings: Settings, broker: Broker, *, window: int = WINDOW) -> None:
        self.url, self.period, self.lease = (
            settings.database_url,
            settings.relay_seconds,
            settings.lease_seconds,
        )
        self.broker, self.window = broker, window
        self.engine = create_engine(self.url, pool_size=1, pre_ping=True)
        self.sessions: Sessions = create_sessions(self.engine)
        self.ticks: dict[str, datetime] = {}
        self.awake, self.stopping = asyncio.Event(), False
        self.listening: asyncpg.Connection | None = None
        self.looked: dict[str, float] = {}

    async def run(self) -> None:
        """Work until `stop`. A database or a broker that is away is waited for."""
        complaint = ""
        while not self.stopping:
            self.awake.clear()
            try:
                await self._listen()
                wait = await self.once()
                if complaint:
                    log.info("relay works again")
                complaint = ""
            except Exception as error:  # whatever it was: the next round is soon
                wait = self.period
                if complaint != (complaint := type(error).__name__):
                    log.warning("relay waits", error=complaint, reason=str(error)[:200])
            with suppress(TimeoutError):
                await asyncio.wait_for(self.awake.wait(), wait)
        if self.listening:
            self.listening.terminate()
        await self.engine.dispose()

    def stop(self) -> None:
        """End after this round."""
        self.stopping = True
        self.awake.set()

    async def _listen(self) -> None:
        """Be woken by commits. Without it, jobs begin up to a period later, and nothing else changes."""
        if self.listening is None or self.listening.is_closed():
            dsn = "postgresql://" + self.url.partition("://")[2]
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection = await asyncpg.connect(dsn, timeout=3, command_timeout=3)
                await connection.add_listener("jobs", lambda *_: self.awake.set())
                self.listening = connection

    async def once(self) -> float:
        """Expire, tick, publish. Seconds until there is something to do again, as far as known."""
        await tick(self.sessions, self.ticks, await self._expire())
        async with self.sessions.begin() as db:
            queues = await due.queues(db, self.lease)
        full = False
        for queue, published, waiting, stale in queues:
            room = self.window - published
            sent = await self._publish(queue, min(room, waiting)) if waiting and room > 0 else 0
            full |= waiting > room and (room <= 0 or sent > 0)  # else they wait for others of their key
            if stale:
                await self._recover(queue, published)
        async with self.sessions.begin() as db:
            due_in = await due.next_moment(db)
        return FULL_SECONDS if full else min(self.period, max(due_in or self.period, 0))

    async def _expire(self) -> datetime:
        """Take back the jobs whose worker has fallen silent. The database's time."""
        async with self.sessions.begin() as db:
            lost, now = await due.expire(db), await due.now(db)
        for job, kind, state in lost:
            log.warning("job lost its worker", job=str(job), kind=kind, state=state)
        return now

    async def _publish(self, queue: str, room: int) -> int:
        """Take what is due, then publish it; how many. Who dies in between is found out by `_recover`."""
        async with self.sessions.begin() as db:
            rows = await due.take(db, queue, room)
        limits = {row.kind: kinds[row.kind].options.time_limit if row.kind in kinds else 60 for row in rows}
        messages = [(row.id, limits[row.kind]) for row in rows]
        sent: set[UUID] = set()
        try:
            await asyncio.to_thread(self._send, queue, messages, sent)
        finally:
            if unsent := [row.id for row in rows if row.id not in sent]:
                async with self.sessions.begin() as db:
                    await due.put_back(db, unsent)
        return len(sent)

    def _send(self, queue: str, messages: list[tuple[UUID, float]], sent: set[UUID]) -> None:
        for job in self.broker.publish(queue, messages):
            sent.add(job)

    async def _recover(self, queue: str, published: int) -> None:
        """Publish anew what was published long ago, if the broker has fewer messages than it should."""
        if time.monotonic() - self.looked.get(queue, 0) < self.period:
            return
        self.looked[queue] = time.monotonic()
        if await asyncio.to_thread(self.broker.waiting, queue) < published:
            async with self.sessions.begin() as db:
                again = await due.forget_messages(db, queue, self.lease)
            log.warning("messages got lost", queue=queue, published_again=again)
