"""Every move that a job can make. Each is one statement, guarded by the state it starts from.

queued → running → succeeded | dead | cancelled, or queued again; dead and cancelled → queued by hand.
What a running job writes carries the token of its lease: whoever lost it (the relay gave the job
to somebody else) changes nothing any more.
"""

from typing import Any, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import JSON, Text, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

_ID, _TOKEN = bindparam("id", type_=Uuid), bindparam("token", type_=Uuid)

_KEY = text(
    "SELECT pg_advisory_xact_lock(hashtextextended(concurrency_key, 0))"
    " FROM jobs WHERE id = :id AND state = 'queued' AND concurrency_key IS NOT NULL"
).bindparams(_ID)
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
""").bindparams(_ID, _TOKEN)
_HAND_BACK_MESSAGE = text(
    "UPDATE jobs SET published_at = NULL WHERE id = :id AND state = 'queued' AND concurrency_key IS NOT NULL"
).bindparams(_ID)
_RENEW = text("""
UPDATE jobs SET lease_until = clock_timestamp() + make_interval(secs => :lease),
    progress = :progress, note = :note,
    revision = revision + CASE WHEN (progress, note) = (:progress, :note) THEN 0 ELSE 1 END
WHERE id = :id AND lease_token = :token AND state = 'running'
RETURNING cancel_requested
""").bindparams(_ID, _TOKEN, bindparam("note", type_=Text))
_SETTLE = text("""
WITH settled AS (
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
    FROM settled WHERE token = :token
)
SELECT state, CASE WHEN :state = 'queued' OR concurrency_key IS NOT NULL THEN pg_notify('jobs', '') END
FROM settled
""").bindparams(
    _ID,
    _TOKEN,
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
""").bindparams(_ID)
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
""").bindparams(_ID)
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
    """A job that is ours as long as we keep its lease."""

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


async def claim(db: AsyncSession, id: UUID, worker: str, lease: float) -> Claim | None:
    """Start a job. None if it is not to be started: done, begun by another, not due, or its key is busy."""
    keyed = (await db.execute(_KEY, {"id": id})).first() is not None
    token = uuid4()
    values = {"id": id, "token": token, "worker": worker, "lease": lease, "keyed": keyed}
    if row := (await db.execute(_CLAIM, values)).first():
        return Claim(*row, token=token)
    if keyed:
        await db.execute(_HAND_BACK_MESSAGE, {"id": id})
    return None


async def renew(db: AsyncSession, claimed: Claim, lease: float, progress: int, note: str) -> bool | None:
    """Keep the lease and show the progress. Whether to stop; None if the lease is lost."""
    values = {"id": claimed.id, "token": claimed.token, "lease": lease, "progress": progress, "note": note}
    return await db.scalar(_RENEW, values)


async def settle(
    db: AsyncSession,
    claimed: Claim,
    state: str,
    *,
    outcome: str | None = None,
    result: Any = None,
    error: dict[str, Any] | None = None,
    delay: float = 0,
) -> str | None:
    """End this attempt; `queued` again after `delay` seconds, or for good. None if the lease is lost.

    Gives the new state: what was asked to stop is cancelled instead of queued again.
    """
    values = {"state": state, "outcome": outcome or state, "result": result, "error": error}
    values |= {"id": claimed.id, "token": claimed.token, "delay": delay}
    return await db.scalar(_SETTLE, values)


async def cancel(db: AsyncSession, id: UUID) -> bool:
    """Cancel what waits; ask what runs to stop. False if it has ended already."""
    return (await db.execute(_CANCEL, {"id": id})).first() is not None


async def retry(db: AsyncSession, id: UUID) -> bool:
    """Begin a dead or cancelled job anew. False if it is neither, or unique and another one is under way."""
    return (await db.execute(_RETRY, {"id": id})).first() is not None


async def release(db: AsyncSession, worker: str) -> int:
    """Give back what this worker still runs; it counts as no attempt. Two seconds to let it really end."""
    return len((await db.execute(_RELEASE, {"worker": worker})).all())
