"""Ask for heavy work, in the transaction of whoever asks: committed, it runs; rolled back, it never was."""

import json
import os
import re
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

from opentelemetry import propagate
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.contextvars import get_contextvars

from app.core.errors import PayloadTooLarge, Unprocessable
from app.core.jobs.kinds import Job
from app.core.jobs.tables import FINISHED, MAX_BYTES, JobRow

WAKE = func.pg_notify("jobs", "")
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""A NUL as JSON writes it; behind a further backslash it is only text that looks like one."""


def new_id() -> UUID:
    """A UUID of version 7 (RFC 9562 §5.7): random, and in the order of time."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    return UUID(int=number & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62)


async def enqueue(
    db: AsyncSession,
    job: Job,
    *,
    owner: str | None = None,
    idempotency_key: str | None = None,
    delay: timedelta = timedelta(),
    priority: int | None = None,
) -> JobRow:
    """Write the job down; the relay is told at the commit. `owner` is who may see it.

    Gives the job that is there already if it is a unique one, or if `idempotency_key` was used
    before with the same arguments; with other arguments that is Unprocessable.
    """
    values = _values(job, owner) | {"idempotency_key": idempotency_key}
    if priority is not None:
        values["priority"] = priority
    if delay:
        values["run_after"] = func.now() + delay
    for _ in range(3):  # what was in the way may end in between
        new = insert(JobRow).values(id=new_id(), **values).on_conflict_do_nothing()
        if row := (await db.scalar(new.returning(JobRow, WAKE))) or await _same(db, values):
            return row
    raise Unprocessable("This job changes faster than it can be asked for. Try again.")


def _values(job: Job, owner: str | None) -> dict[str, Any]:
    options, body = job.options, job.model_dump_json()
    if len(body.encode()) > MAX_BYTES:
        raise PayloadTooLarge(f"The arguments of {options.kind} are larger than {MAX_BYTES} bytes as JSON.")
    if NUL.search(body):
        raise Unprocessable("PostgreSQL stores no NUL character.")
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    context, unique = get_contextvars(), job.unique_key()
    return {
        "owner": owner,
        "kind": options.kind,
        "version": options.version,
        "payload": json.loads(body),
        "queue": options.queue,
        "priority": options.priority,
        "max_attempts": options.max_attempts,
        "unique_key": unique and f"{options.kind}:{owner or ''}:{unique}",
        "concurrency_key": job.concurrency_key() if options.concurrency else None,
        "concurrency_limit": options.concurrency,
        "request_id": context.get("request_id"),
        "traceparent": carrier.get("traceparent") or context.get("traceparent"),
    }


async def _same(db: AsyncSession, values: dict[str, Any]) -> JobRow | None:
    """The job that is in the way of these values."""
    if values["idempotency_key"]:
        names = ("owner", "kind", "idempotency_key")
        row = await db.scalar(
            select(JobRow).where(*(getattr(JobRow, n).is_not_distinct_from(values[n]) for n in names))
        )
        if row and row.payload != values["payload"]:
            raise Unprocessable("This Idempotency-Key was used before, with another body.")
        if row:
            return row
    if not values["unique_key"]:
        return None
    active = JobRow.state.not_in(FINISHED)
    return await db.scalar(select(JobRow).where(JobRow.unique_key == values["unique_key"], active))
