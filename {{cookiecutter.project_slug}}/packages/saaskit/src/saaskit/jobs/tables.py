"""The job tables. They are the source of truth; the broker carries only job ids."""

from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, String, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column

from saaskit.db import Base

JobState = Literal["queued", "running", "succeeded", "dead", "cancelled"]
STATES = get_args(JobState)
FINISHED = ("succeeded", "dead", "cancelled")
MAX_BYTES = 64 * 1024
"""Largest payload and largest result, as JSON. Store larger data in a table of its own."""

_TIMESTAMP = TIMESTAMP(timezone=True)
_ACTIVE = text("state IN ('queued', 'running')")


class JobRecord(Base):
    """One job. `owner` identifies the user who may see it; null for the system's own jobs."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(f"state IN {STATES}", name="state_known"),
        CheckConstraint("progress BETWEEN 0 AND 100", name="progress_percent"),
        CheckConstraint(f"octet_length(payload::text) <= {2 * MAX_BYTES}", name="payload_small"),
        Index(
            "ix_jobs_queued",
            "queue",
            text("priority DESC"),
            "run_after",
            "id",
            postgresql_where=text("state = 'queued'"),
        ),
        Index("ix_jobs_leases", "lease_until", postgresql_where=text("state = 'running'")),
        Index("ix_jobs_finished", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
        Index("ix_jobs_owner_id", "owner", "id"),
        Index("ix_jobs_concurrency_key", "concurrency_key", postgresql_where=_ACTIVE),
        Index("uq_jobs_unique_key", "unique_key", unique=True, postgresql_where=_ACTIVE),
        Index(
            "uq_jobs_idempotency_key",
            "owner",
            "kind",
            "idempotency_key",
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=text("idempotency_key IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner: Mapped[str | None] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(String(60))
    version: Mapped[int] = mapped_column(SmallInteger)
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    queue: Mapped[str] = mapped_column(String(60))
    priority: Mapped[int] = mapped_column(SmallInteger)
    state: Mapped[str] = mapped_column(String(20), server_default="queued")
    run_after: Mapped[datetime] = mapped_column(_TIMESTAMP, server_default=func.now())
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    max_attempts: Mapped[int] = mapped_column(SmallInteger)
    unique_key: Mapped[str | None] = mapped_column(Text)
    idempotency_key: Mapped[str | None] = mapped_column(Text)
    concurrency_key: Mapped[str | None] = mapped_column(Text)
    concurrency_limit: Mapped[int | None] = mapped_column(SmallInteger)
    published_at: Mapped[datetime | None] = mapped_column(_TIMESTAMP)
    lease_token: Mapped[UUID | None]
    lease_until: Mapped[datetime | None] = mapped_column(_TIMESTAMP)
    worker: Mapped[str | None] = mapped_column(Text)
    cancel_requested: Mapped[bool] = mapped_column(server_default=text("false"))
    progress: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    note: Mapped[str] = mapped_column(String(200), server_default="")
    result: Mapped[Any | None] = mapped_column(JSONB)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    revision: Mapped[int] = mapped_column(server_default="1")
    """Increases with every change that the owner can see."""
    request_id: Mapped[str | None] = mapped_column(String(64))
    traceparent: Mapped[str | None] = mapped_column(String(55))
    created_at: Mapped[datetime] = mapped_column(_TIMESTAMP, server_default=func.now())
    started_at: Mapped[datetime | None] = mapped_column(_TIMESTAMP)
    finished_at: Mapped[datetime | None] = mapped_column(_TIMESTAMP)


class JobAttempt(Base):
    """One attempt to run a job. `token` identifies the lease that it held."""

    __tablename__ = "job_attempts"

    token: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    number: Mapped[int] = mapped_column(SmallInteger)
    worker: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(_TIMESTAMP, server_default=func.now())
    finished_at: Mapped[datetime | None] = mapped_column(_TIMESTAMP)
    outcome: Mapped[str | None] = mapped_column(String(20))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class JobSchedule(Base):
    """The last tick of a schedule. The relay that advances it enqueues the job."""

    __tablename__ = "job_schedules"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    last_tick: Mapped[datetime] = mapped_column(_TIMESTAMP)
