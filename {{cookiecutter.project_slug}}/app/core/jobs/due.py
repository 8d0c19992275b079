"""Which jobs are due, which fell silent, which messages got lost: one statement for each question."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

_QUEUES = text("""
SELECT queue, count(*) FILTER (WHERE published_at IS NOT NULL) AS published,
    count(*) FILTER (WHERE published_at IS NULL AND run_after <= now()) AS due,
    count(*) FILTER (WHERE published_at < now() - make_interval(secs => :lease)) AS stale
FROM jobs WHERE state = 'queued' GROUP BY queue
""")
# Arrays, not joins: no plan for few rows can be chosen, and then meet many.
_ORDER = "ORDER BY priority DESC, run_after, id"
_TAKE = text(f"""
WITH free AS (
    SELECT id FROM jobs WHERE state = 'queued' AND queue = :queue AND published_at IS NULL
        AND run_after <= now() AND concurrency_key IS NULL
    {_ORDER} LIMIT :room
), busy AS (
    SELECT concurrency_key, count(*) AS places FROM jobs WHERE concurrency_key IS NOT NULL
        AND (state = 'running' OR state = 'queued' AND published_at IS NOT NULL)
    GROUP BY concurrency_key
), keyed AS (
    SELECT id FROM (
        SELECT id, priority, run_after, concurrency_limit - coalesce(places, 0) AS left_over,
            row_number() OVER (PARTITION BY concurrency_key {_ORDER}) AS place
        FROM jobs LEFT JOIN busy USING (concurrency_key)
        WHERE state = 'queued' AND queue = :queue AND published_at IS NULL
            AND run_after <= now() AND concurrency_key IS NOT NULL) ranked
    WHERE place <= left_over {_ORDER} LIMIT :room
), taken AS (
    SELECT id FROM jobs WHERE id = ANY(ARRAY(TABLE free UNION ALL TABLE keyed)) AND published_at IS NULL
        AND state = 'queued' {_ORDER} LIMIT :room FOR UPDATE SKIP LOCKED
)
UPDATE jobs SET published_at = clock_timestamp() WHERE id = ANY(ARRAY(TABLE taken))
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
        format('Its worker fell silent during attempt %s of %s.', attempts, max_attempts)) AS error
    FROM jobs WHERE state = 'running' AND lease_until < now() LIMIT 200 FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE jobs SET lease_token = NULL, lease_until = NULL, error = lost.error, revision = revision + 1,
        state = CASE WHEN cancel_requested THEN 'cancelled' WHEN attempts >= max_attempts THEN 'dead'
            ELSE 'queued' END,
        run_after = CASE WHEN attempts < 2 THEN run_after  -- it goes first, for it has waited
            ELSE now() + make_interval(secs => least(attempts - 1, 60) ^ 2) END,
        finished_at = CASE WHEN cancel_requested OR attempts >= max_attempts THEN now() END
    FROM lost WHERE jobs.id = lost.id
    RETURNING jobs.id, kind, state, lost.token, lost.error
), noted AS (
    UPDATE job_attempts SET finished_at = now(), outcome = 'lost', error = moved.error
    FROM moved WHERE job_attempts.token = moved.token
)
SELECT id, kind, state FROM moved
""")
_NOW = text("SELECT clock_timestamp()")
_NEXT = text("""
SELECT extract(epoch FROM min(run_after) - clock_timestamp())::float FROM jobs
WHERE state = 'queued' AND published_at IS NULL AND run_after > now()
""")


async def queues(db: AsyncSession, lease: float) -> Sequence[Row[*tuple[Any, ...]]]:
    """Each queue in which something waits: (queue, published, due, stale), the last three as numbers."""
    return (await db.execute(_QUEUES, {"lease": lease})).all()


async def take(db: AsyncSession, queue: str, room: int) -> list[Row[*tuple[Any, ...]]]:
    """Mark up to `room` jobs as published, the most urgent ones, and give them in that order."""
    rows = (await db.execute(_TAKE, {"queue": queue, "room": room})).all()
    return sorted(rows, key=lambda row: (-row.priority, row.run_after, row.id))


async def put_back(db: AsyncSession, jobs: list[UUID]) -> None:
    """Unmark them: the broker did not take them."""
    await db.execute(_PUT_BACK, {"ids": jobs})


async def forget_messages(db: AsyncSession, queue: str, lease: float) -> int:
    """Unmark what was published longer than a lease ago and never begun; how many."""
    return len((await db.execute(_FORGET, {"queue": queue, "lease": lease})).all())


async def expire(db: AsyncSession) -> Sequence[Row[*tuple[Any, ...]]]:
    """Take the jobs of silent workers back, for another attempt or for dead: (id, kind, state)."""
    return (await db.execute(_EXPIRE)).all()


async def now(db: AsyncSession) -> datetime:
    """The database's clock."""
    return (await db.execute(_NOW)).scalar_one()


async def next_moment(db: AsyncSession) -> float | None:
    """Seconds until the next delayed job is due."""
    return await db.scalar(_NEXT)
