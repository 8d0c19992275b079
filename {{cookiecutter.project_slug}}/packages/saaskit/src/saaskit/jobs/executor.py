"""Running a job: claim it, call its handler, record the outcome."""

import asyncio
import inspect
import json
import math
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, TypeVar
from uuid import UUID

import structlog
from opentelemetry import propagate, trace
from pydantic import BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from saaskit.cache_context import vary_by_user
from saaskit.db import create_engine, create_sessionmaker
from saaskit.jobs import queries
from saaskit.jobs.failures import (
    InvalidArguments,
    JobCancelled,
    PermanentFailure,
    TimeLimitExceeded,
    UnknownKind,
    handle_failure,
    redact,
)
from saaskit.jobs.job import NUL, Job, enqueue, handlers, job_classes, options_of
from saaskit.jobs.lease import DATABASE_ERRORS, Lease
from saaskit.jobs.tables import MAX_BYTES, JobRecord
from saaskit.settings import Settings

log = structlog.get_logger(__name__)
tracer = trace.get_tracer(__name__)
Result = TypeVar("Result")
Lifespan = Callable[[], AbstractAsyncContextManager[Any]]
"""Opens the resources that handlers use besides the database, such as the cache."""
LOST_LEASE = "lost its lease"


class JobContext:
    """The second argument of a handler: one attempt to run a job.

    `db` is the job's transaction: it is committed together with the job's success, or not at all. Effects
    outside the database can happen twice; send `id` as their idempotency key.
    """

    def __init__(self, settings: Settings, lease: Lease, db: AsyncSession, runner: asyncio.Runner) -> None:
        claimed = lease.claimed
        self.id: UUID = claimed.id
        self.owner: str | None = claimed.owner
        self.attempt: int = claimed.attempts
        self.db = db
        self.settings = settings
        self._lease, self._runner = lease, runner

    def progress(self, percent: float, note: str = "") -> None:
        """Report progress from 0 to 100 percent. Raises JobCancelled if the job has to stop.

        Takes microseconds: another thread writes the value, at most four times a second.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"progress must be between 0 and 100, not {percent}")
        self._lease.set_progress(math.floor(percent), redact(note, 200))
        if self._lease.stop_reason:
            raise JobCancelled

    async def enqueue(self, job: Job, **options: Any) -> JobRecord:
        """Enqueue a job with the same owner. It exists only if this job succeeds."""
        return await enqueue(self.db, job, owner=self.owner, **options)

    def wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine from a `def` handler: `context.wait(list_orders(context.db))`."""
        return self._runner.run(work)


class JobExecutor:
    """Runs jobs in the threads of this process, one at a time per thread. A separate thread renews leases.

    With `may_kill`, the process is killed to end a handler that ignores its time limit.
    """

    def __init__(self, settings: Settings, worker: str, lifespan: Lifespan, *, may_kill: bool) -> None:
        self._settings, self._worker, self._lifespan, self._may_kill = settings, worker, lifespan, may_kill
        engine = create_engine(settings.database_url, pool_size=2, pre_ping=True)
        self._sessionmaker = create_sessionmaker(engine)
        self._local = threading.local()
        self._lease_loop = asyncio.new_event_loop()
        threading.Thread(target=self._lease_loop.run_forever, name="leases", daemon=True).start()

    def execute(self, job_id: UUID) -> None:
        """Run the job if it is due. Failures are recorded in the database, not raised."""
        try:
            claimed = self._in_lease_thread(self._claim(job_id))
        except DATABASE_ERRORS as error:  # the job stays queued, and the relay publishes it again
            log.warning("job not claimed", job=str(job_id), error=type(error).__name__)
            return
        if claimed is None:
            log.debug("job not due", job=str(job_id))
            return
        context = propagate.extract({"traceparent": claimed.traceparent or ""})
        with tracer.start_as_current_span(f"job {claimed.kind}", context) as span:
            names = {"request_id": claimed.request_id, "trace_id": f"{span.get_span_context().trace_id:032x}"}
            names = {name: value for name, value in names.items() if value and value.strip("0")}
            with structlog.contextvars.bound_contextvars(job=str(job_id), kind=claimed.kind, **names):
                log.info("job started", attempt=claimed.attempts)
                started = time.perf_counter()
                outcome = self._attempt(claimed)
                log.info(f"job {outcome}", ms=round((time.perf_counter() - started) * 1000, 1))

    async def _claim(self, job_id: UUID) -> queries.Claim | None:
        async with self._sessionmaker.begin() as db:
            return await queries.claim(db, job_id, self._worker, self._settings.lease_seconds)

    def _in_lease_thread(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine in the lease thread, whose event loop no handler can block."""
        return asyncio.run_coroutine_threadsafe(work, self._lease_loop).result()

    def _attempt(self, claimed: queries.Claim) -> str:
        """Run the handler while the lease is renewed. Returns the outcome, for the log."""
        lease, renewal = self._in_lease_thread(self._start_lease(claimed))
        try:
            try:
                return self._run_handler(lease)
            finally:
                self._in_lease_thread(_end(renewal))
        # BaseException: JobCancelled, a library's SystemExit or a TaskGroup's error ends the attempt, too.
        except BaseException as error:
            return self._in_lease_thread(self._record_failure(lease, error))

    async def _start_lease(self, claimed: queries.Claim) -> tuple[Lease, asyncio.Task[None]]:
        seconds, limit = self._settings.lease_seconds, options_of(claimed.kind).time_limit
        lease = Lease(self._sessionmaker, claimed, seconds, limit, may_kill=self._may_kill)
        return lease, asyncio.create_task(lease.keep())

    def _run_handler(self, lease: Lease) -> str:
        claimed = lease.claimed
        job = _load_job(claimed)
        runner = self._runner()
        runner.run(_set_cache_user(claimed.owner))
        context = JobContext(self._settings, lease, self._local.sessionmaker(), runner)
        function = handlers[claimed.kind]
        try:
            if inspect.iscoroutinefunction(function):
                result = runner.run(_interruptible(function(job, context), lease))
            else:
                result = function(job, context)
            return runner.run(_commit(context, claimed, _to_json(result)))
        finally:
            lease.interrupt = lambda: None
            with suppress(*DATABASE_ERRORS):
                runner.run(context.db.close())

    def _runner(self) -> asyncio.Runner:
        """Return this thread's event loop. Its connections stay open until the process ends."""
        if not hasattr(self._local, "runner"):
            runner = asyncio.Runner()
            self._local.lifespan = self._lifespan()  # kept, or the garbage collector would close it
            runner.run(self._local.lifespan.__aenter__())
            # No statement timeout: the lease enforces the job's time limit.
            url = self._settings.database_url
            engine = create_engine(url, pool_size=2, pre_ping=True, statement_seconds=None)
            self._local.sessionmaker = create_sessionmaker(engine)
            self._local.runner = runner
        return self._local.runner

    async def _record_failure(self, lease: Lease, error: BaseException) -> str:
        """Record the failure; while the database is unavailable, try again until the lease expires."""
        if lease.stop_reason == "lost":
            return LOST_LEASE
        if lease.stop_reason == "time limit":
            error = TimeLimitExceeded(lease.time_limit)
        if lease.stop_reason != "cancelled":
            log.warning("job failed", exc_info=error)
        expires = time.monotonic() + self._settings.lease_seconds
        while time.monotonic() < expires:
            try:
                async with self._sessionmaker.begin() as db:
                    if lease.stop_reason == "cancelled":
                        state = await queries.finish(db, lease.claimed, "cancelled") or "lost"
                    else:
                        state = await handle_failure(db, lease.claimed, error)
                return "failed; will be retried" if state == "queued" else state
            except DATABASE_ERRORS:
                await asyncio.sleep(0.5)
        return LOST_LEASE


def _load_job(claimed: queries.Claim) -> Job:
    """Validate the stored arguments. Raises UnknownKind or InvalidArguments."""
    job_class = job_classes.get(claimed.kind)
    if job_class is None or claimed.kind not in handlers:
        raise UnknownKind(f"This worker has no handler for {claimed.kind}. Deploy it, then retry the job.")
    known = job_class.options.version
    if claimed.version > known:
        raise UnknownKind(
            f"The arguments of {claimed.kind} have version {claimed.version}, but this worker knows only"
            f" version {known}. Deploy the newer code, then retry the job."
        )
    payload = claimed.payload
    if claimed.version < known:
        payload = job_class.upgrade(payload, claimed.version)
    try:
        return job_class.model_validate(payload)
    except ValidationError as error:
        raise InvalidArguments(str(error)) from None


def _to_json(result: Any) -> Any:
    """Return a handler's result in the form in which it is stored. Raises PermanentFailure."""
    value = result.model_dump(mode="json") if isinstance(result, BaseModel) else result
    text = json.dumps(value, ensure_ascii=False)
    if len(text.encode()) > MAX_BYTES:
        raise PermanentFailure(f"The result is larger than {MAX_BYTES} bytes as JSON. Store it in a table.")
    if NUL.search(text):
        raise PermanentFailure("The result contains a NUL character, which PostgreSQL cannot store.")
    return value


async def _set_cache_user(owner: str | None) -> None:
    """Separate the owner's cached values from those of others. The runner keeps the context variable."""
    vary_by_user(owner or "")


async def _interruptible(work: Coroutine[Any, Any, Result], lease: Lease) -> Result:
    """Run an async handler so that the lease thread can cancel it."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task
    lease.interrupt = lambda: loop.call_soon_threadsafe(task.cancel)
    return await work


async def _commit(context: JobContext, claimed: queries.Claim, result: Any) -> str:
    """Commit the handler's changes together with the success; roll back if the lease is lost."""
    if await queries.finish(context.db, claimed, "succeeded", result=result):
        await context.db.commit()
        return "succeeded"
    await context.db.rollback()
    return LOST_LEASE


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, *DATABASE_ERRORS):
        await task
