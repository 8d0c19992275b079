"""Start a worker: `python -m app.worker`, with any options of `celery worker`.

On SIGTERM it takes no new jobs. Running jobs may finish within WORKER_GRACE_SECONDS; then they are handed
back and run on another worker. On Windows, which cannot fork, the pool is `threads`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from saaskit import cache, upstream
from saaskit.features import load_features
from saaskit.jobs.worker import run_worker

from app.settings import Settings, get_settings


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[None]:
    """Open the resources that jobs share, once per event loop."""
    # A worker imports the upstreams that its jobs use, not all that the settings name.
    async with cache.connect(settings.redis_url), upstream.connect(settings, check_names=False):
        yield


if __name__ == "__main__":
    load_features("app")
    settings = get_settings()
    run_worker(settings, lambda: open_resources(settings))
