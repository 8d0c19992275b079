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
from sqlalchemy import bindparam, text

from app.core.db import Sessions, create_engine, create_sessions
from app.core.jobs.broker import Broker
from app.core.jobs.kinds import kinds
from app.core.jobs.schedules import tick
from app.settings import Settings

log = structlog.get_logger("app.relay")
WINDOW = 200
"""Messages that wait in a queue at most. All others wait in the table, in the order of their priority."""
FULL_SECONDS = 0.05
"""Until a full window is looked at again."""

_QUEUES = text("""
SELECT queue, count(*) FILTER (WHERE published_at IS NOT NULL) AS published,
    count(*) FILTER (WHERE published_at IS NULL AND run_after <= now()) AS due,
    count(*) FILTER (WHERE published_at < now() - make_interval(secs => :lease)) AS stale
FROM jobs WHERE state = 'queued' GROUP BY queue
""")
_ORDER = "ORDER BY priority DESC, run_after, id"
_TAKE = text(f"""
WITH free AS (
    SELECT id FROM jobs WHERE state = 'queued' AND queue = :queue AND published_at IS NULL
        AND run_after <= now() AND concurrency_key IS NULL
    {_ORDER} LIMIT :room
), keyed AS (
    SELECT id FROM (
        SELECT id, priority, run_after, concurrency_limit, row_number() OVER (
                PARTITION BY concurrency_key {_ORDER}) + (
            SELECT count(*) FROM jobs other WHERE other.concurrency_key = jobs.concurrency_key AND (
                other.state = 'running' OR other.state = 'queued' AND other.published_at IS NOT NULL)
        ) AS place
        FROM jobs WHERE state = 'queued' AND queue = :queue AND published_at IS NULL
            AND run_after <= now() AND concurrency_key IS NOT NULL) ranked
    WHERE place <= concurrency_limit {_ORDER} LIMIT :room
), taken AS (
    SELECT id FROM jobs WHERE id IN (TABLE free UNION ALL TABLE keyed) AND published_at IS NULL
        AND state = 'queued' {_ORDER} LIMIT :room FOR UPDATE SKIP LOCKED
)
UPDATE jobs SET published_at = clock_timestamp() FROM taken WHERE jobs.id = taken.id
RETURNING jobs.id, kind, priority, run_after
""")  # noqa: S608 (only our own text)
_PUT_BACK = text("UPDATE jobs SET published_at = NULL WHERE id IN :ids AND state = 'queued'").bindparams(
    bindparam("ids", expanding=True)
)
_FORGET = text("""
UPDATE jobs SET published_at = NULL WHERE state = 'queued' AND queue = :queue
    AND published_at < now() - make_interval(secs => :lease)
RETURNING id
""")
_EXPIRE = text("""
WITH lost AS (
    SELECT id, lease_token AS token, jsonb_build_object('type', 'WorkerLost', 'public', true, 'message',
        format('Worker %s fell silent during attempt %s of %s.', worker, attempts, max_attempts)) AS error
    FROM jobs WHERE state = 'running' AND lease_until < now() LIMIT 200 FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE jobs SET lease_token = NULL, lease_until = NULL, error = lost.error, revision = revision + 1,
        state = CASE WHEN cancel_requested THEN 'cancelled' WHEN attempts >= max_attempts THEN 'dead'
            ELSE 'queued' END,
        run_after = now() + make_interval(secs => least(attempts - 1, 60) ^ 2),
        finished_at = CASE WHEN cancel_requested OR attempts >= max_attempts THEN now() END
    FROM lost WHERE jobs.id = lost.id
    RETURNING jobs.id, kind, state, lost.token, lost.error
), noted AS (
    UPDATE job_attempts SET finished_at = now(), outcome = 'lost', error = moved.error
    FROM moved WHERE job_attempts.token = moved.token
)
SELECT id, kind, state FROM moved
""")
_NEXT = text("""
SELECT extract(epoch FROM min(run_after) - clock_timestamp())::float FROM jobs
WHERE state = 'queued' AND published_at IS NULL AND run_after > now()
""")


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
                connection = await asyncpg.connect(dsn, timeout=3)
                await connection.add_listener("jobs", lambda *_: self.awake.set())
                self.listening = connection

    async def once(self) -> float:
        """Expire, tick, publish. Seconds until there is something to do again, as far as known."""
        await self._expire()
        await tick(self.sessions, self.ticks)
        async with self.sessions.begin() as db:
            queues = (await db.execute(_QUEUES, {"lease": self.lease})).all()
        full = False
        for queue, published, due, stale in queues:
            room = self.window - published
            if due and room > 0:
                await self._publish(queue, min(room, due))
            full |= due > room
            if stale:
                await self._recover(queue, published)
        async with self.sessions.begin() as db:
            due_in = await db.scalar(_NEXT)
        return FULL_SECONDS if full else min(self.period, max(due_in or self.period, 0))

    async def _expire(self) -> None:
        """Take back the jobs whose worker has fallen silent."""
        async with self.sessions.begin() as db:
            lost = (await db.execute(_EXPIRE)).all()
        for job, kind, state in lost:
            log.warning("job lost its worker", job=str(job), kind=kind, state=state)

    async def _publish(self, queue: str, room: int) -> None:
        """Take what is due, then publish it. Who dies in between is found out by `_recover`."""
        async with self.sessions.begin() as db:
            rows = (await db.execute(_TAKE, {"queue": queue, "room": room})).all()
        rows = sorted(rows, key=lambda row: (-row.priority, row.run_after, row.id))
        limits = {row.kind: kinds[row.kind].options.time_limit if row.kind in kinds else 60 for row in rows}
        messages = [(row.id, limits[row.kind]) for row in rows]
        sent: set[UUID] = set()
        try:
            await asyncio.to_thread(self._send, queue, messages, sent)
        finally:
            if unsent := [row.id for row in rows if row.id not in sent]:
                async with self.sessions.begin() as db:
                    await db.execute(_PUT_BACK, {"ids": unsent})

    def _send(self, queue: str, messages: list[tuple[UUID, float]], sent: set[UUID]) -> None:
        for job, limit in messages:
            self.broker.publish(str(job), queue, limit)
            sent.add(job)

    async def _recover(self, queue: str, published: int) -> None:
        """Publish anew what was published long ago, if the broker has fewer messages than it should."""
        if time.monotonic() - self.looked.get(queue, 0) < self.period:
            return
        self.looked[queue] = time.monotonic()
        if await asyncio.to_thread(self.broker.waiting, queue) < published:
            async with self.sessions.begin() as db:
                found = await db.execute(_FORGET, {"queue": queue, "lease": self.lease})
            log.warning("messages got lost", queue=queue, published_again=len(found.all()))
