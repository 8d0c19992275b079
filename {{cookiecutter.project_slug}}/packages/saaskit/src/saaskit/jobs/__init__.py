"""Background jobs that survive crashes: `await enqueue(db, BuildExport(resource="orders"))`.

A job is a row, inserted in the caller's transaction. The relay publishes the ids of due jobs to a broker,
Celery workers receive them, claim the rows and run the handlers.

    job         job classes, handlers, `enqueue`
    schedules   jobs that run at fixed times
    owner       a user's view of their jobs, for the API: list, cancel, retry, follow
    retention   the scheduled deletion of old jobs; import it to register it
    relay       `run_relay`, the process that publishes due jobs
    worker      `run_worker`, the process that runs them
    cli         the command `jobs`

Internal: `tables` and `queries` (PostgreSQL), `broker` (Celery), `executor`, `lease` and `failures` (a
worker's side). Only `relay` and `worker` import Celery.
"""

from saaskit.jobs.executor import JobContext
from saaskit.jobs.failures import JobCancelled, PermanentFailure
from saaskit.jobs.job import Job, enqueue, handler
from saaskit.jobs.schedules import schedule
from saaskit.jobs.tables import JobAttempt, JobRecord, JobSchedule

__all__ = [
    "Job",
    "JobAttempt",
    "JobCancelled",
    "JobContext",
    "JobRecord",
    "JobSchedule",
    "PermanentFailure",
    "enqueue",
    "handler",
    "schedule",
]
