"""All SQL of the job tables: the transitions of a job, and the relay's queries. Nothing here commits.

    queued → running → succeeded | dead | cancelled, or queued again
    dead | cancelled → queued                                         by `retry`

Each transition is one statement that checks the state it starts from. A worker's statements also check
the lease token, so that a worker whose lease expired cannot change a job that another worker now runs.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import JSON, Row, Text, bindparam, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

_LOCK_KEY = text(
    "SELECT pg_advisory_xact_lock(hashtextextended(concurrency_key, 0))"
    " FROM jobs WHERE id = :id AND state = 'queued' AND concurrency_key IS NOT NULL"
)
_CLAIM = text("""
WITH claimed AS (
    UPDATE jobs SET state = 'running', lease_token = :token, worker = :worker, attempts = attempts + 1,
        lease_until = clock_timestamp() + make_interval(secs => :lease), started_at = clock_timestamp(),
        published_at = NULL, error = NULL, progress = 0, note = '', revision = revision + 1
    WHERE id = :id AND state = 'queued' AND run_after <= clock_timestamp() AND (
        concurrency_key IS NULL OR :keyed AND concurrency_limit > (
            SELECT count(*) FROM jobs other
            WHERE other.concurrency_key = jobs.concurrency_key AND other.state = 'running'))
    RETURNING id, kind, version, payload, owner, attempts, max_attempts, request_id, traceparent
), noted AS (
    INSERT INTO job_attempts (token, job_id, number, worker)
    SELECT :token, id, attempts, :worker FROM claimed
)
SELECT * FROM claimed
""")
_RENEW = text("""
UPDATE jobs SET lease_until = clock_timestamp() + make_interval(secs => :lease),
    progress = :progress, note = :note,
    revision = revision + CASE WHEN (progress, note) = (:progress, :note) THEN 0 ELSE 1 END
WHERE id = :id AND lease_token = :token AND state = 'running'
RETURNING cancel_requested
""").bindparams(bindparam("note", type_=Text))
_FINISH = text("""
WITH finished AS (
    UPDATE jobs SET result = :result, error = :error, lease_token = NULL, lease_until = NULL,
        state = CASE WHEN :state = 'queued' AND cancel_requested THEN 'cancelled' ELSE :state END,
        run_after = CASE WHEN :state = 'queued' THEN clock_timestamp() + make_interval(secs => :delay)
            ELSE run_after END,
        progress = CASE WHEN :state = 'succeeded' THEN 100 ELSE progress END, revision = revision + 1,
        finished_at = CASE WHEN :state <> 'queued' OR cancel_requested THEN clock_timestamp() END
    WHERE id = :id AND lease_token = :token AND state = 'running'
    RETURNING state, concurrency_key
), noted AS (
    UPDATE job_attempts SET finished_at = clock_timestamp(), outcome = :outcome, error = :error
    FROM finished WHERE token = :token
)
SELECT state, CASE WHEN :state = 'queued' OR concurrency_key IS NOT NULL THEN pg_notify('jobs', '') END
FROM finished
""").bindparams(
    bindparam("state", type_=Text),
    bindparam("outcome", type_=Text),
    bindparam("result", type_=JSON(none_as_null=True)),
    bindparam("error", type_=JSON(none_as_null=True)),
)
_CANCEL = text("""
UPDATE jobs SET cancel_requested = true, revision = revision + 1,
    state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END,
    finished_at = CASE WHEN state = 'queued' THEN clock_timestamp() END
WHERE id = :id AND state IN ('queued', 'running')
RETURNING id
""")
_RETRY = text("""
WITH again AS (
    UPDATE jobs SET state = 'queued', attempts = 0, run_after = clock_timestamp(), cancel_requested = false,
        published_at = NULL, finished_at = NULL, progress = 0, note = '', revision = revision + 1
    WHERE id = :id AND state IN ('dead', 'cancelled') AND NOT EXISTS (
        SELECT FROM jobs other
        WHERE other.unique_key = jobs.unique_key AND other.state IN ('queued', 'running'))
    RETURNING id
)
SELECT id, pg_notify('jobs', '') FROM again
""")
_RELEASE = text("""
WITH released AS (
    UPDATE jobs SET state = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'queued' END,
        lease_token = NULL, lease_until = NULL, attempts = attempts - 1,
        run_after = clock_timestamp() + interval '2 seconds', revision = revision + 1,
        finished_at = CASE WHEN cancel_requested THEN clock_timestamp() END
    FROM (SELECT id AS job, lease_token AS token FROM jobs
          WHERE worker = :worker AND state = 'running' FOR UPDATE) held
    WHERE id = held.job
    RETURNING token
)
UPDATE job_attempts SET finished_at = clock_timestamp(), outcome = 'handed back'
FROM released WHERE job_attempts.token = released.token
RETURNING job_id
""")


class Claim(NamedTuple):
    """A job that this worker runs for as long as it holds the lease."""

    id: UUID
    kind: str
    version: int
    payload: dict[str, Any]
    owner: str | None
    attempts: int
    max_attempts: int
    request_id: str | None
    traceparent: str | None
    token: UUID


async def claim(db: AsyncSession, job_id: UUID, worker: str, lease: float) -> Claim | None:
    """Start a job with a lease of so many seconds.

    Returns None if it is not queued, not due, or its concurrency limit is reached.
    """
    keyed = (await db.execute(_LOCK_KEY, {"id": job_id})).first() is not None
    token = uuid4()
    values = {"id": job_id, "token": token, "worker": worker, "lease": lease, "keyed": keyed}
    if row := (await db.execute(_CLAIM, values)).first():
        return Claim(**row._mapping, token=token)
    if keyed:
        await unpublish(db, [job_id])
    return None


async def renew(db: AsyncSession, claimed: Claim, lease: float, progress: int, note: str) -> bool | None:
    """Renew the lease and store the progress.

    Returns whether cancellation was requested; None if the lease is lost.
    """
    values = {"id": claimed.id, "token": claimed.token, "lease": lease, "progress": progress, "note": note}
    return await db.scalar(_RENEW, values)


async def finish(
    db: AsyncSession,
    claimed: Claim,
    state: str,
    *,
    outcome: str | None = None,
    result: Any = None,
    error: dict[str, Any] | None = None,
    delay: float = 0,
) -> str | None:
    """End the attempt and move the job to `state`; `queued` retries it after `delay` seconds.

    Returns the new state, which is `cancelled` instead of `queued` if cancellation was requested; None if
    the lease is lost.
    """
    values = {"state": state, "outcome": outcome or state, "result": result, "error": error}
    values |= {"id": claimed.id, "token": claimed.token, "delay": delay}
    return await db.scalar(_FINISH, values)


async def cancel(db: AsyncSession, job_id: UUID) -> bool:
    """Cancel a queued job, or ask a running one to stop. Returns False if it has finished."""
    return (await db.execute(_CANCEL, {"id": job_id})).first() is not None


async def retry(db: AsyncSession, job_id: UUID) -> bool:
    """Queue a dead or cancelled job again.

    Returns False if it is in another state, or unique while another such job is queued or running.
    """
    return (await db.execute(_RETRY, {"id": job_id})).first() is not None


async def release(db: AsyncSession, worker: str) -> int:
    """Hand back the running jobs of a worker. Returns their number.

    The attempt does not count. The jobs are due in two seconds, when the worker's processes have exited.
    """
    return len((await db.execute(_RELEASE, {"worker": worker})).all())


# The relay's queries

_COUNT_QUEUES = text("""
SELECT queue, count(*) FILTER (WHERE published_at IS NOT NULL) AS published,
    count(*) FILTER (WHERE published_at IS NULL AND run_after <= now()) AS due,
    count(*) FILTER (WHERE published_at < now() - make_interval(secs => :lease)) AS stale
FROM jobs WHERE state = 'queued' GROUP BY queue
""")
# ANY(ARRAY(…)) instead of joins: a join plan that was chosen for few rows is slow for many.
_ORDER = "ORDER BY priority DESC, run_after, id"
_TAKE_DUE = text(f"""
WITH free AS (
    SELECT id FROM jobs WHERE state = 'queued' AND queue = :queue AND published_at IS NULL
        AND run_after <= now() AND concurrency_key IS NULL
    {_ORDER} LIMIT :limit
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
    WHERE place <= left_over {_ORDER} LIMIT :limit
), taken AS (
    SELECT id FROM jobs WHERE id = ANY(ARRAY(TABLE free UNION ALL TABLE keyed)) AND published_at IS NULL
        AND state = 'queued' {_ORDER} LIMIT :limit FOR UPDATE SKIP LOCKED
)
UPDATE jobs SET published_at = clock_timestamp() WHERE id = ANY(ARRAY(TABLE taken))
RETURNING jobs.id, kind, priority, run_after
""")  # noqa: S608 (constant text)
_UNPUBLISH = text("UPDATE jobs SET published_at = NULL WHERE id = ANY(:ids) AND state = 'queued'")
_REQUEUE_LOST = text("""
UPDATE jobs SET published_at = NULL WHERE state = 'queued' AND queue = :queue
    AND published_at < now() - make_interval(secs => :lease)
RETURNING id
""")
_EXPIRE_LEASES = text("""
WITH lost AS (
    SELECT id, lease_token AS token, jsonb_build_object('type', 'WorkerLost', 'public', true, 'message',
        format('The worker stopped responding during attempt %s of %s.', attempts, max_attempts)) AS error
    FROM jobs WHERE state = 'running' AND lease_until < now() LIMIT 200 FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE jobs SET lease_token = NULL, lease_until = NULL, error = lost.error, revision = revision + 1,
        state = CASE WHEN cancel_requested THEN 'cancelled' WHEN attempts >= max_attempts THEN 'dead'
            ELSE 'queued' END,
        run_after = CASE WHEN attempts < 2 THEN run_after  -- retried at once: it has already waited its turn
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
_SECONDS_UNTIL_DUE = text("""
SELECT extract(epoch FROM min(run_after) - clock_timestamp())::float FROM jobs
WHERE state = 'queued' AND published_at IS NULL AND run_after > now()
""")


async def count_queues(db: AsyncSession, lease: float) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return (queue, published, due, stale) for each queue with queued jobs; the last three are counts.

    A job is stale if it was published longer ago than a lease lasts, and has not started.
    """
    return (await db.execute(_COUNT_QUEUES, {"lease": lease})).all()


async def take_due(db: AsyncSession, queue: str, limit: int) -> list[Row[*tuple[Any, ...]]]:
    """Mark up to `limit` due jobs as published and return them, the most urgent first."""
    rows = (await db.execute(_TAKE_DUE, {"queue": queue, "limit": limit})).all()
    return sorted(rows, key=lambda row: (-row.priority, row.run_after, row.id))


async def unpublish(db: AsyncSession, jobs: list[UUID]) -> None:
    """Undo `take_due` for jobs that the broker did not accept, or that no worker may run yet."""
    await db.execute(_UNPUBLISH, {"ids": jobs})


async def requeue_lost(db: AsyncSession, queue: str, lease: float) -> int:
    """Let the stale jobs of a queue be published again. Returns their number."""
    return len((await db.execute(_REQUEUE_LOST, {"queue": queue, "lease": lease})).all())


async def expire_leases(db: AsyncSession) -> Sequence[Row[*tuple[Any, ...]]]:
    """End the attempts whose lease expired. Returns (id, kind, new state) of each job."""
    return (await db.execute(_EXPIRE_LEASES)).all()


async def database_time(db: AsyncSession) -> datetime:
    """Return the time of the database's clock."""
    return (await db.execute(select(func.clock_timestamp()))).scalar_one()


async def seconds_until_due(db: AsyncSession) -> float | None:
    """Return the seconds until the next delayed job is due; None if there is none."""
    return await db.scalar(_SECONDS_UNTIL_DUE)
