"""Job classes, their handlers, and `enqueue`.

    class BuildExport(Job, queue="default", max_attempts=5, time_limit=300):
        resource: Literal["orders", "posts"]

    @handler(BuildExport)
    async def build_export(job: BuildExport, context: JobContext) -> ExportResult: ...

    await enqueue(db, BuildExport(resource="orders"), owner=str(user.id))

Write `async def` for a handler that waits, `def` for one that computes or blocks.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from opentelemetry import propagate
from pydantic import BaseModel, ConfigDict
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.contextvars import get_contextvars

from saaskit.errors import Conflict, PayloadTooLarge, Unprocessable
from saaskit.jobs.tables import FINISHED, MAX_BYTES, JobRecord

job_classes: dict[str, type["Job"]] = {}
"""Every imported job class, by kind."""
handlers: dict[str, Callable[..., Any]] = {}
"""Every imported handler, by kind."""

_WAKE_RELAY = func.pg_notify("jobs", "")
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""A NUL character in JSON. After another backslash, the same letters are plain text."""


@dataclass(frozen=True)
class JobOptions:
    """How the jobs of a class run. Times are in seconds."""

    kind: str
    """Name in the table. Set it explicitly to keep it when the class is renamed."""
    queue: str = "default"
    priority: int = 5
    """0 to 9; 9 runs first."""
    max_attempts: int = 5
    time_limit: float = 300
    backoff: float = 2
    """Delay before the second attempt. Doubles each time, up to an hour; jitter takes off up to half."""
    unique: bool = False
    """While a job with the same arguments is queued or running, `enqueue` returns that job."""
    concurrency: int | None = None
    """How many jobs with the same `concurrency_key` may run at once."""
    version: int = 1
    """Version of the arguments. Increase it when they change, and convert older ones in `upgrade`."""


class Job(BaseModel):
    """Base class of all jobs. The fields are the arguments: validated on creation, stored as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    options: ClassVar[JobOptions]

    def __init_subclass__(cls, **options: Any) -> None:
        """Accept the options. Pydantic requires this of classes with keyword arguments."""
        super().__init_subclass__()

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Register the class under its kind, by default its name in snake case."""
        options.setdefault("kind", re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower())
        cls.options = JobOptions(**options)
        kind = cls.options.kind
        known = job_classes.setdefault(kind, cls)
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(f"Duplicate job kind {kind}: {known} and {cls}. Rename one.")
        job_classes[kind] = cls

    def unique_key(self) -> str | None:
        """Return the key that at most one queued or running job may have; None for any number.

        With `unique=True` it is a hash of the arguments.
        """
        if not self.options.unique:
            return None
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def concurrency_key(self) -> str:
        """Return the key of the jobs that share the limit `concurrency`, by default the kind."""
        return self.options.kind

    @classmethod
    def upgrade(cls, payload: dict[str, Any], version: int) -> dict[str, Any]:
        """Convert arguments that an older `version` of this class stored."""
        return payload


def options_of(kind: str) -> JobOptions:
    """Return the options of a kind; the defaults if this process does not know it."""
    return job_classes[kind].options if kind in job_classes else JobOptions(kind)


Handler = TypeVar("Handler", bound=Callable[..., Any])


def handler(job_class: type[Job]) -> Callable[[Handler], Handler]:
    """Register a function, sync or async, as the handler of a job class: `(job, context) -> result`."""

    def register(function: Handler) -> Handler:
        kind = job_class.options.kind
        known = handlers.setdefault(kind, function)
        if (known.__module__, known.__qualname__) != (function.__module__, function.__qualname__):
            raise TypeError(f"Duplicate handler for {kind}: {known.__qualname__}, {function.__qualname__}.")
        handlers[kind] = function
        return function

    return register


async def enqueue(
    db: AsyncSession,
    job: Job,
    *,
    owner: str | None = None,
    idempotency_key: str | None = None,
    delay: timedelta = timedelta(),
    priority: int | None = None,
) -> JobRecord:
    """Insert a job in the caller's transaction: it runs if that commits, and never if it rolls back.

    `owner` identifies the user who may see the job. Returns the existing job if this one is unique and
    already queued or running, or if `idempotency_key` was used before with the same arguments. Raises
    Unprocessable if the key was used with other arguments, Conflict if the existing job keeps changing.
    """
    values = _columns(job, owner) | {"idempotency_key": idempotency_key}
    if priority is not None:
        values["priority"] = priority
    if delay:
        values["run_after"] = func.now() + delay
    for _ in range(3):  # the existing job may finish between the INSERT and the SELECT
        new = insert(JobRecord).values(id=_uuid7(), **values).on_conflict_do_nothing()
        if row := (await db.scalar(new.returning(JobRecord, _WAKE_RELAY))) or await _existing(db, values):
            return row
    raise Conflict("The job is being modified concurrently. Try again.")


def _columns(job: Job, owner: str | None) -> dict[str, Any]:
    options, body = job.options, job.model_dump_json()
    if len(body.encode()) > MAX_BYTES:
        raise PayloadTooLarge(f"The arguments of {options.kind} are larger than {MAX_BYTES} bytes as JSON.")
    if NUL.search(body):
        raise Unprocessable("Text must not contain NUL characters.")
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


async def _existing(db: AsyncSession, values: dict[str, Any]) -> JobRecord | None:
    """Return the job that the INSERT conflicted with, if it still does."""
    if values["idempotency_key"]:
        same_request = [
            getattr(JobRecord, name).is_not_distinct_from(values[name])
            for name in ("owner", "kind", "idempotency_key")
        ]
        row = await db.scalar(select(JobRecord).where(*same_request))
        if row and row.payload != values["payload"]:
            raise Unprocessable("This Idempotency-Key was already used with a different request body.")
        if row:
            return row
    if not values["unique_key"]:
        return None
    active = JobRecord.state.not_in(FINISHED)
    return await db.scalar(select(JobRecord).where(JobRecord.unique_key == values["unique_key"], active))


def _uuid7() -> UUID:
    """Return a UUID of version 7: random, and in the order of time (RFC 9562 §5.7)."""
    # Python 3.14 has uuid.uuid7.
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    return UUID(int=number & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62)
