"""Forget what is over."""

from app.core.jobs import Job, Run, handles, schedule
from app.core.jobs.retention import forget
from app.settings import get_settings


class ForgetJobs(Job, unique=True, time_limit=600):
    """Delete finished jobs, and what belongs to them, after JOBS_KEEP_DAYS."""


schedule(ForgetJobs(), cron="17 3 * * *", zone="UTC")


@handles(ForgetJobs)
async def forget_jobs(job: ForgetJobs, run: Run) -> dict[str, int]:
    """Say how many."""
    return {"forgotten": await forget(run.db, get_settings().jobs_keep_days)}
