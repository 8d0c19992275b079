"""The worker: receives job ids from Celery and runs the jobs. SIGTERM ends it without losing a job."""

import asyncio
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import structlog
from celery import Celery, signals
from celery.platforms import SecurityWarning
from celery.worker.consumer import Consumer

from saaskit.db import create_engine, create_sessionmaker
from saaskit.jobs.broker import TASK, create_celery
from saaskit.jobs.executor import JobExecutor, Lifespan
from saaskit.jobs.job import job_classes
from saaskit.jobs.queries import release
from saaskit.settings import Settings

__all__ = ["run_worker"]

log = structlog.get_logger(__name__)


def run_worker(settings: Settings, lifespan: Lifespan, argv: Sequence[str] | None = None) -> None:
    """Run a worker process. Import all job modules first: they register job classes and handlers.

    `argv` holds options of `celery worker`, by default those of the command line: `-c` sets the number of
    processes, `-Q` the queues. `lifespan` is entered once per event loop, in the process that runs jobs.

    After SIGTERM the worker accepts no jobs. Running jobs have WORKER_GRACE_SECONDS to finish, then they are
    handed back and run in another worker.
    """
    warnings.simplefilter("ignore", SecurityWarning)  # about root and pickle: only JSON is accepted
    queues = sorted({"default"} | {job_class.options.queue for job_class in job_classes.values()})
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-Q", ",".join(queues)]
    if sys.platform == "win32":  # which cannot fork
        options += ["-P", "threads"]
    options += sys.argv[1:] if argv is None else argv
    celery = _create_celery(settings, lifespan)
    celery.worker_main(["--quiet", "worker", "--loglevel=INFO", *options])


def _create_celery(settings: Settings, lifespan: Lifespan) -> Celery:
    celery = create_celery(settings)
    celery.conf.worker_consumer = ResilientConsumer
    # One name for all processes of this worker: the parent hands their jobs back. Containers share host
    # names and process ids, hence the random part.
    parent, name = os.getpid(), f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"

    @cache
    def executor(pid: int) -> JobExecutor:
        return JobExecutor(settings, name, lifespan, may_kill=pid != parent)  # pool processes only

    @celery.task(name=TASK, acks_late=True, ignore_result=True)
    def execute(job_id: str) -> None:
        executor(os.getpid()).execute(UUID(job_id))

    @signals.worker_shutting_down.connect(weak=False)
    def on_shutdown(**_: Any) -> None:
        grace = settings.worker_grace_seconds
        if settings.environment == "development":
            grace = min(grace, 3)  # keeps Ctrl-C and reloads fast
        log.info("worker stopping", grace=grace)
        timer = threading.Timer(grace, _hand_back, (settings, name))
        timer.daemon = True  # does not delay the exit when all jobs finish earlier
        timer.start()

    return celery


def _hand_back(settings: Settings, worker: str) -> None:
    """Hand back the jobs that are still running, and exit."""

    async def release_jobs() -> None:
        engine = create_engine(settings.database_url, pool_size=1)
        async with create_sessionmaker(engine).begin() as db:
            log.info("jobs handed back", count=await release(db, worker))
        await engine.dispose()

    try:
        asyncio.run(release_jobs())
    finally:
        if hasattr(signal, "SIGQUIT"):
            os.kill(os.getpid(), signal.SIGQUIT)  # Celery's cold shutdown: pool processes end now
        threading.Timer(3, os._exit, (0,)).start()  # threads of the other pools cannot be ended


class ResilientConsumer(Consumer):
    """A Celery consumer that survives the death of its broker.

    After a lost connection, kombu 5 can raise AttributeError from a late acknowledgement or from its own
    cleanup, and Celery would exit with all running jobs. This consumer treats the error as a lost connection.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connection_errors = (*self.connection_errors, AttributeError)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Close the connection, ignoring errors of the cleanup."""
        try:
            super().on_connection_error_after_connected(exc)
        except Exception as error:
            log.warning("broker connection was not closed cleanly", error=type(error).__name__)
