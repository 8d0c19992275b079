"""The processes of a job system with the jobs of these tests: `python -m packages.saaskit.jobs.worker relay`."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import packages.saaskit.jobs.kinds  # noqa: F401 (registers the jobs)
import saaskit.mail  # noqa: F401 (registers its job)
from packages.saaskit.jobs.job_system import die_after_commit
from saaskit import cache
from saaskit.jobs.relay import run_relay
from saaskit.jobs.worker import run_worker
from saaskit.settings import Settings, load_settings

settings = load_settings(Settings)


@asynccontextmanager
async def lifespan() -> AsyncIterator[None]:
    async with cache.connect(settings.redis_url):
        yield


if __name__ == "__main__":
    part, *options = sys.argv[1:]
    if part == "api":
        asyncio.run(die_after_commit(settings.database_url))
    elif part == "relay":
        run_relay(settings)
    else:
        run_worker(settings, lifespan, options)
