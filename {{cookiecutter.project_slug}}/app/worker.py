"""The worker as a process: `python -m app.worker`, with any option of `celery worker` behind it.

SIGTERM: no new jobs; those that run may finish within WORKER_GRACE_SECONDS, then they are handed
back and run elsewhere. Windows cannot fork, so there the pool is `threads`.
"""

import sys
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from celery.platforms import SecurityWarning

from app import jobs
from app.core import cache, upstream
from app.core.jobs.worker import create_worker, queues
from app.settings import get_settings


@asynccontextmanager
async def lifespan() -> AsyncIterator[None]:
    """Hold what jobs use besides the database, as app.main does for requests."""
    async with cache.connected(get_settings().redis_url), upstream.opened():
        yield


def main() -> None:
    """Serve every queue, unless `-Q` says otherwise, in as many processes as there are cores (`-c`)."""
    jobs.register()
    warnings.simplefilter("ignore", SecurityWarning)  # of root and pickle: only JSON is accepted
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-Q", ",".join(queues())]
    if sys.platform == "win32":
        options += ["-P", "threads"]
    celery = create_worker(get_settings(), lifespan)
    celery.worker_main(["--quiet", "worker", "--loglevel=INFO", *options, *sys.argv[1:]])


if __name__ == "__main__":
    main()
