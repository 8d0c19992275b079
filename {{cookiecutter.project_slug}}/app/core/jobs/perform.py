"""Do one job: claim it, run its handler, settle it. What a worker does with an id from the broker."""

import asyncio
import inspect
import json
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, TypeVar
from uuid import UUID

import structlog
from opentelemetry import propagate, trace
from pydantic import BaseModel, ValidationError

from app.core.cache import Audience, serve
from app.core.db import create_engine, create_sessions
from app.core.jobs import states
from app.core.jobs.enqueue import NUL
from app.core.jobs.errors import BadArguments, GiveUp, TimeLimitExceeded, UnknownKind
from app.core.jobs.failure import fail
from app.core.jobs.kinds import Job, handlers, kinds
from app.core.jobs.lease import AWAY, Lease
from app.core.jobs.run import Run
from app.core.jobs.tables import MAX_BYTES

log = structlog.get_logger("app.jobs")
tracer = trace.get_tracer("app.jobs")
Result = TypeVar("Result")
Lifespan = Callable[[], AbstractAsyncContextManager[None]]


class Performer:
    """Does jobs in the threads of this process, one per thread; a thread of its own keeps their leases."""

    def __init__(
        self, database_url: str, worker: str, lease: float, lifespan: Lifespan, *, expendable: bool
    ) -> None:
        self.url, self.worker, self.lease_seconds, self.expendable = database_url, worker, lease, expendable
        self.lifespan = lifespan
        self.sessions = create_sessions(create_engine(self.url, pool_size=2, pre_ping=True))
        self.local = threading.local()
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="leases", daemon=True).start()

    def perform(self, id: UUID) -> None:
        """Do the job if it is there to be done. Raises nothing but what ends the process."""
        try:
            claimed = self._aside(self._claim(id))
        except AWAY as error:  # it stays queued; the relay notices that its message is gone
            log.warning("job not claimed", job=str(id), error=type(error).__name__)
            return
        if claimed is None:
            log.debug("nothing to do", job=str(id))
            return
        context = propagate.extract({"traceparent": claimed.traceparent or ""})
        with tracer.start_as_current_span(f"job {claimed.kind}", context) as span:
            names = {"request_id": claimed.request_id, "trace_id": f"{span.get_span_context().trace_id:032x}"}
            names = {name: value for name, value in names.items() if value and value.strip("0")}
            with structlog.contextvars.bound_contextvars(job=str(id), kind=claimed.kind, **names):
                log.info("job started", attempt=claimed.attempts)
                began = time.perf_counter()
                outcome = self._attempt(claimed)
                log.info(f"job {outcome}", ms=round((time.perf_counter() - began) * 1000, 1))

    async def _claim(self, id: UUID) -> states.Claim | None:
        async with self.sessions.begin() as db:
            return await states.claim(db, id, self.worker, self.lease_seconds)

    def _aside(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run it in the thread of the leases, whose connections no handler can block."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def _attempt(self, claimed: states.Claim) -> str:
        """The handler, between a lease and its end. How it went, in a word."""
        kind = kinds.get(claimed.kind)
        limit = kind.options.time_limit if kind else 60
        lease, keeping = self._aside(self._keep(claimed, limit))
        try:
            return self._handle(lease)
        except (
            BaseException
        ) as error:  # Stopped, a library's SystemExit, a TaskGroup's: each ends the attempt
            self._aside(_end(keeping))
            return self._aside(self._failed(lease, error))
        finally:
            self._aside(_end(keeping))

    async def _keep(self, claimed: states.Claim, limit: float) -> tuple[Lease, asyncio.Task[None]]:
        lease = Lease(self.sessions, claimed, self.lease_seconds, limit, expendable=self.expendable)
        return lease, asyncio.create_task(lease.keep())

    def _handle(self, lease: Lease) -> str:
        claimed = lease.claimed
        job = _read(claimed)
        runner = self._runner()
        runner.run(_serve(claimed.owner))
        run = Run(lease, self.local.sessions(), runner)
        handler = handlers[claimed.kind]
        try:
            if inspect.iscoroutinefunction(handler):
                result = runner.run(_interruptible(handler(job, run), lease))
            else:
                result = handler(job, run)
            return runner.run(_succeed(run, claimed, _json(result)))
        finally:
            lease.interrupt = lambda: None
            with suppress(*AWAY):
                runner.run(run.db.close())

    def _runner(self) -> asyncio.Runner:
        """The event loop of this thread, in which its connections live until the process ends."""
        if not hasattr(self.local, "runner"):
            self.local.runner = asyncio.Runner()
            # A statement may take as long as its job may: the lease ends both.
            engine = create_engine(self.url, pool_size=2, pre_ping=True, statement_seconds=None)
            self.local.sessions = create_sessions(engine)
            self.local.lifespan = self.lifespan()
            self.local.runner.run(self.local.lifespan.__aenter__())
        return self.local.runner

    async def _failed(self, lease: Lease, error: BaseException) -> str:
        """Write down how it failed, for as long as the lease lives."""
        if lease.stopped == "lost":
            return "lost its lease"
        if lease.stopped == "time limit":
            error = TimeLimitExceeded(f"Not done after {lease.time_limit:g} s.")
        if lease.stopped != "cancelled":
            log.warning("job failed", exc_info=error)
        until = time.monotonic() + self.lease_seconds
        while time.monotonic() < until:
            try:
                async with self.sessions.begin() as db:
                    if lease.stopped == "cancelled":
                        return "cancelled" if await states.settle(db, lease.claimed, "cancelled") else "lost"
                    return {"queued": "failed; will be tried again"}.get(
                        state := await fail(db, lease.claimed, error), state
                    )
            except AWAY:
                await asyncio.sleep(0.5)
        return "lost its lease"


def _read(claimed: states.Claim) -> Job:
    """The job's arguments, as its class wants them today."""
    kind = kinds.get(claimed.kind)
    if kind is None or claimed.kind not in handlers:
        raise UnknownKind(f"This worker has no code for {claimed.kind}. Deploy it, then retry the job.")
    if claimed.version > kind.options.version:
        raise UnknownKind(
            f"The arguments are of version {claimed.version}; this worker's code of {claimed.kind} knows"
            f" {kind.options.version}. Deploy the newer code, then retry the job."
        )
    payload = claimed.payload
    if claimed.version < kind.options.version:
        payload = kind.upgrade(payload, claimed.version)
    try:
        return kind.model_validate(payload)
    except ValidationError as error:
        raise BadArguments(str(error)) from None


def _json(result: Any) -> Any:
    """What is stored of a handler's result."""
    value = result.model_dump(mode="json") if isinstance(result, BaseModel) else result
    text = json.dumps(value, ensure_ascii=False)
    if len(text.encode()) > MAX_BYTES:
        raise GiveUp(f"The result is larger than {MAX_BYTES} bytes as JSON. Store it in a table instead.")
    if NUL.search(text):
        raise GiveUp("The result holds a NUL character, which PostgreSQL does not store.")
    return value


async def _serve(owner: str | None) -> None:
    """What is cached for somebody in this job is its owner's; a runner keeps it from one call to the next."""
    serve(Audience(user=owner or ""))


async def _interruptible(work: Coroutine[Any, Any, Result], lease: Lease) -> Result:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task
    lease.interrupt = lambda: loop.call_soon_threadsafe(task.cancel)
    return await work


async def _succeed(run: Run, claimed: states.Claim, result: Any) -> str:
    """Commit the effects and the success together, or neither if the lease is lost."""
    if await states.settle(run.db, claimed, "succeeded", result=result):
        await run.db.commit()
        return "succeeded"
    await run.db.rollback()
    return "lost its lease"


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, *AWAY):
        await task
