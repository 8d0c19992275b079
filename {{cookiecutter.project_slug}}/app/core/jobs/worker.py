"""The worker: Celery receives ids, a Performer does the jobs, SIGTERM ends it without losing one."""

import asyncio
import os
import signal
import socket
import threading
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import structlog
from celery import Celery, signals
from celery.worker.consumer import Consumer

from app.core.db import create_engine, create_sessions
from app.core.jobs.broker import TASK, create_celery
from app.core.jobs.kinds import kinds
from app.core.jobs.perform import Lifespan, Performer
from app.core.jobs.states import release
from app.settings import Settings

log = structlog.get_logger("app.worker")


class Survivor(Consumer):
    """Celery's connection to the broker, which outlives the broker.

    When that dies, kombu (5.x) may trip over what it has closed already: at an acknowledgement that comes
    late, or while it cleans up. Celery would end the worker, with all jobs that run, for an AttributeError.
    The connection is lost in any case: make a new one.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.connection_errors = (*self.connection_errors, AttributeError)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Give the connection up, however badly."""
        try:
            super().on_connection_error_after_connected(exc)
        except Exception as error:
            log.warning("broker's connection was not closed cleanly", error=type(error).__name__)


def create_worker(settings: Settings, lifespan: Lifespan) -> Celery:
    """Celery with the one task that there is. Connections are made in the process that does the work.

    `lifespan` holds what handlers use besides the database, once for each event loop.
    """
    celery = create_celery(settings)
    celery.conf.worker_consumer = Survivor
    # The parent's, which gives back for all its children. Containers share host names and process ids.
    parent, name = os.getpid(), f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"

    @cache
    def performer(pid: int) -> Performer:
        expendable = pid != parent  # prefork
        return Performer(settings.database_url, name, settings.lease_seconds, lifespan, expendable=expendable)

    @celery.task(name=TASK, acks_late=True, ignore_result=True)
    def perform(id: str) -> None:
        performer(os.getpid()).perform(UUID(id))

    def stopping(**_: Any) -> None:
        grace = settings.worker_grace_seconds
        if settings.environment == "development":
            grace = min(grace, 3)  # nobody waits longer for Ctrl-C, or for a change to take effect
        log.info("worker stops", grace=grace)
        waiting = threading.Timer(grace, _hand_back, (settings, name))
        waiting.daemon = True  # all done earlier: end
        waiting.start()

    signals.worker_shutting_down.connect(stopping, weak=False)
    return celery


def queues() -> list[str]:
    """Every queue that a known job names."""
    return sorted({"default"} | {kind.options.queue for kind in kinds.values()})


def _hand_back(settings: Settings, name: str) -> None:
    """Let others do what we did not finish, and end."""

    async def give() -> None:
        engine = create_engine(settings.database_url, pool_size=1)
        async with create_sessions(engine).begin() as db:
            log.info("jobs handed back", count=await release(db, name))
        await engine.dispose()

    try:
        asyncio.run(give())
    finally:
        if hasattr(signal, "SIGQUIT"):
            os.kill(os.getpid(), signal.SIGQUIT)  # cold: the pool's processes end now
        threading.Timer(3, os._exit, (0,)).start()  # threads cannot be ended otherwise
