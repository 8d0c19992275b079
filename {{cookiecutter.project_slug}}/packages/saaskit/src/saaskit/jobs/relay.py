"""The relay: publishes due jobs to the broker, and recovers lost ones. Any number of relays may run.

A commit that enqueues a job wakes the relay by NOTIFY. Without a notification it works once per period.
"""

import asyncio
import signal
import time
from contextlib import suppress
from datetime import datetime
from uuid import UUID

import asyncpg
import structlog

from saaskit.db import create_engine, create_sessionmaker, postgresql_dsn
from saaskit.jobs import queries
from saaskit.jobs.broker import Broker
from saaskit.jobs.job import options_of
from saaskit.jobs.schedules import tick
from saaskit.logging import configure_logging
from saaskit.settings import Settings

__all__ = ["Relay", "run_relay"]

log = structlog.get_logger(__name__)
WINDOW = 100
"""Largest number of messages waiting in a queue. Further jobs wait in the table, in order of priority."""
FULL_WINDOW_SECONDS = 0.05
"""Time until a full window is checked again."""


def run_relay(settings: Settings) -> None:
    """Run a relay process until SIGTERM or SIGINT. Import all job modules first: they register schedules."""
    configure_logging(settings.log_level, json=settings.production)
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    relay, loop = Relay(settings, Broker(settings)), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(relay.stop))
    log.info("relay ready")  # `dev` waits for this line
    await relay.run()


class Relay:
    """One relay. `run` repeats `run_once` until `stop` is called."""

    def __init__(self, settings: Settings, broker: Broker, *, window: int = WINDOW) -> None:
        self.broker = broker
        self._dsn = postgresql_dsn(settings.database_url)
        self._period, self._lease, self._window = settings.relay_seconds, settings.lease_seconds, window
        self._engine = create_engine(settings.database_url, pool_size=1, pre_ping=True)
        self._sessionmaker = create_sessionmaker(self._engine)
        self._last_ticks: dict[str, datetime] = {}
        self._wake, self._stopping = asyncio.Event(), False
        self._listener: asyncpg.Connection | None = None
        self._checked_at: dict[str, float] = {}

    async def run(self) -> None:
        """Work until `stop` is called. While the database or the broker is unavailable, try again."""
        last_error = ""
        while not self._stopping:
            self._wake.clear()
            try:
                await self._listen()
                wait = await self.run_once()
                if last_error:
                    log.info("relay recovered")
                last_error = ""
            except Exception as error:  # of any kind: a relay must not die
                wait = self._period
                name = type(error).__name__
                if name != last_error:
                    log.warning("relay waiting", error=name, reason=str(error)[:200])
                last_error = name
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), wait)
        await self.close()

    def stop(self) -> None:
        """Make `run` return after the current round."""
        self._stopping = True
        self._wake.set()

    async def close(self) -> None:
        """Close the connections to the database."""
        if self._listener:
            self._listener.terminate()
        await self._engine.dispose()

    async def _listen(self) -> None:
        """Subscribe to notifications. Without them, jobs start up to a period later."""
        if self._listener is None or self._listener.is_closed():
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection = await asyncpg.connect(self._dsn, timeout=3, command_timeout=3)
                await connection.add_listener("jobs", lambda *_: self._wake.set())
                self._listener = connection

    async def run_once(self) -> float:
        """Expire leases, run schedules, publish due jobs. Returns the seconds until the next round."""
        await tick(self._sessionmaker, self._last_ticks, await self._expire_leases())
        async with self._sessionmaker.begin() as db:
            queues = await queries.count_queues(db, self._lease)
        full = False
        for queue, published, due, stale in queues:
            room = self._window - published
            sent = await self._publish(queue, min(room, due)) if due and room > 0 else 0
            # With room left but nothing sent, the due jobs wait for others with their concurrency key.
            full |= due > room and (room <= 0 or sent > 0)
            if stale:
                await self._requeue_lost(queue, published)
        if full:
            return FULL_WINDOW_SECONDS
        async with self._sessionmaker.begin() as db:
            seconds = await queries.seconds_until_due(db)
        return min(self._period, max(seconds or self._period, 0))

    async def _expire_leases(self) -> datetime:
        """Take jobs back from workers that stopped responding. Returns the database's time."""
        async with self._sessionmaker.begin() as db:
            lost, now = await queries.expire_leases(db), await queries.database_time(db)
        for job, kind, state in lost:
            log.warning("job lost its worker", job=str(job), kind=kind, state=state)
        return now

    async def _publish(self, queue: str, limit: int) -> int:
        """Publish up to `limit` due jobs. Returns the number of messages sent.

        Jobs are marked before they are sent. If the relay dies in between, `_requeue_lost` finds them.
        """
        async with self._sessionmaker.begin() as db:
            rows = await queries.take_due(db, queue, limit)
        messages = [(row.id, options_of(row.kind).time_limit) for row in rows]
        sent: set[UUID] = set()

        def send() -> None:
            for job in self.broker.publish(queue, messages):
                sent.add(job)

        try:
            await asyncio.to_thread(send)
        finally:
            if unsent := [row.id for row in rows if row.id not in sent]:
                async with self._sessionmaker.begin() as db:
                    await queries.unpublish(db, unsent)
        return len(sent)

    async def _requeue_lost(self, queue: str, published: int) -> None:
        """Publish stale jobs again if the broker has fewer messages than were published."""
        if time.monotonic() - self._checked_at.get(queue, 0) < self._period:
            return
        self._checked_at[queue] = time.monotonic()
        if await asyncio.to_thread(self.broker.message_count, queue) < published:
            async with self._sessionmaker.begin() as db:
                count = await queries.requeue_lost(db, queue, self._lease)
            log.warning("messages lost", queue=queue, published_again=count)
