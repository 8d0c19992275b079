"""The tests' worker with a plain Celery task beside the jobs, for comparison."""

import time

from celery import Celery, signals
from packages.saaskit.jobs.worker import lifespan, settings
from redis import Redis
from saaskit.jobs.worker import run_worker


@signals.celeryd_init.connect
def _add_plain_task(instance: object, conf: object, **_: object) -> None:
    app: Celery = instance.app  # type: ignore[attr-defined]

    @app.task(name="plain", ignore_result=True)
    def plain(began: float) -> None:
        Redis.from_url(app.conf.broker_url).rpush("plain-took", time.time() - began)


if __name__ == "__main__":
    run_worker(settings, lifespan)
