"""Pools other than prefork, which Windows does not have."""

import pytest
from packages.saaskit.jobs.job_system import JobSystem
from packages.saaskit.jobs.kinds import Grind, Work

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("pool", ["threads", "solo"])
async def test_jobs_run_in_other_pools(idle: JobSystem, pool: str):
    idle.relay()
    idle.worker("-P", pool)
    jobs = [await idle.enqueue(Work(seconds=0.2)) for _ in range(4)]
    jobs.append(await idle.enqueue(Grind(steps=3)))
    for job in jobs:
        await idle.wait_for(job, "succeeded")
    assert await idle.count("effects") == len(jobs)
