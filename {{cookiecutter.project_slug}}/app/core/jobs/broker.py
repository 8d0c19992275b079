"""Celery: carries the ids of jobs to workers. No results, no delays, no retries: PostgreSQL has those.

Only the relay and the workers import this module; a request never waits for a broker.
"""

import ssl
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from uuid import UUID

from celery import Celery, signals

from app.core.logging import configure_logging
from app.settings import Settings

TASK = "jobs.perform"
HARD = 30
"""Seconds behind a job's own time limit at which Celery kills the process of a job that blocks even us."""


def create_celery(settings: Settings) -> Celery:
    """A Celery application on the broker of the settings. Nothing is connected yet."""
    app = Celery("jobs", broker=settings.broker_url, set_as_current=True)
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,  # else a waiting message is taken by a busy worker
        task_acks_on_failure_or_timeout=True,
        task_reject_on_worker_lost=False,  # the lease brings the job back, and counts
        task_create_missing_queues=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,  # they need no broker
        worker_max_tasks_per_child=1000,
        worker_send_task_events=False,
        accept_content=["json"],
        event_serializer="json",
        broker_connection_timeout=1,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_heartbeat=10,
        broker_transport_options=_transport(settings.broker_url),
        broker_use_ssl=_tls(settings.broker_url),
    )
    signals.setup_logging.connect(_logging(settings), weak=False)
    return app


def _transport(url: str) -> dict[str, Any]:
    """What a silent Redis may cost. A message that comes twice finds its job begun, and does nothing."""
    if not url.startswith("redis"):
        return {}
    return {"socket_timeout": 5, "socket_connect_timeout": 1, "visibility_timeout": 6 * 3600}


def _tls(url: str) -> dict[str, Any] | None:
    """Believe certificates of known authorities only; kombu's own default for Redis is to believe any."""
    if url.startswith("rediss:"):
        return {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    return {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None} if url.startswith("amqps:") else None


def _logging(settings: Settings) -> Callable[..., None]:
    def configure(**_: Any) -> None:
        import logging

        configure_logging(settings.log_level, json=settings.production)
        for name in ("celery.worker.strategy", "celery.app.trace", "kombu", "amqp"):
            logging.getLogger(name).setLevel("WARNING")  # our own lines say it

    return configure


class Broker:
    """The relay's side of it. Blocking; raises what the transport raises."""

    def __init__(self, settings: Settings) -> None:
        self.celery = create_celery(settings)

    def publish(self, queue: str, jobs: Iterable[tuple[UUID, float]]) -> Iterator[UUID]:
        """Put ids, each with its time limit, into a queue; gives each that is there.

        What `send_task` does, with its lookups done once: a third less time.
        """
        amqp = self.celery.amqp
        declare = [amqp.queues[queue]]
        with self.celery.producer_or_acquire() as producer:
            for job, limit in jobs:
                name = str(job)
                message = amqp.as_task_v2(name, TASK, [name], {}, time_limit=limit + HARD, ignore_result=True)
                producer.publish(
                    message.body,
                    exchange="",
                    routing_key=queue,
                    headers=message.headers,
                    serializer="json",
                    declare=declare,
                    retry=False,
                    **message.properties,
                )
                yield job

    def waiting(self, queue: str) -> int:
        """How many messages no worker has taken yet."""
        with self.celery.connection_for_write() as connection:
            try:
                return connection.default_channel.queue_declare(queue, passive=True).message_count
            except connection.channel_errors:
                return 0  # no such queue yet
