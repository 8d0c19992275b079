"""The worker as a process: `python -m app.worker`, with any option of `celery worker` behind it.

SIGTERM: no new jobs; those that run may finish within WORKER_GRACE_SECONDS, then they are handed
back and run elsewhere. Windows cannot fork, so there the pool is `threads`.
"""

import sys
import warnings

from celery.platforms import SecurityWarning

from app import jobs
from app.core.connections import connected
from app.core.jobs.worker import create_worker, queues
from app.settings import get_settings


def main() -> None:
    """Serve every queue, unless `-Q` says otherwise, in as many processes as there are cores (`-c`)."""
    jobs.register()
    warnings.simplefilter("ignore", SecurityWarning)  # of root and pickle: only JSON is accepted
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-Q", ",".join(queues())]
    if sys.platform == "win32":
        options += ["-P", "threads"]
    settings = get_settings()
    celery = create_worker(settings, lambda: connected(settings))
    celery.worker_main(["--quiet", "worker", "--loglevel=INFO", *options, *sys.argv[1:]])


if __name__ == "__main__":
    main()
