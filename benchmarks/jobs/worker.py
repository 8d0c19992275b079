"""The application's worker with the tests' jobs, and a plain Celery task beside them to compare with."""

import time

import tests.jobs.kinds  # noqa: F401
from app import worker
from celery import Celery, signals
from redis import Redis


@signals.celeryd_init.connect
def _add_plain_task(instance: object, conf: object, **_: object) -> None:
    app: Celery = instance.app  # type: ignore[attr-defined]

    @app.task(name="plain", ignore_result=True)
    def plain(began: float) -> None:
        Redis.from_url(app.conf.broker_url).rpush("plain-took", time.time() - began)


if __name__ == "__main__":
    worker.main()
