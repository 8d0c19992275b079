"""Other pools than prefork: Windows has only these."""

import pytest

from tests.jobs.kinds import Grind, Work
from tests.jobs.plant import Plant

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("pool", ["threads", "solo"])
async def test_jobs_run_in_other_pools(idle: Plant, pool: str):
    idle.relay()
    idle.worker("-P", pool)
    jobs = [await idle.ask(Work(seconds=0.2)) for _ in range(4)]
    jobs.append(await idle.ask(Grind(steps=3)))
    for job in jobs:
        await idle.until(job, "succeeded")
    assert await idle.count("effects") == len(jobs)
