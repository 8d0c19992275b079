"""Heavy work that is never lost: `await jobs.enqueue(db, BuildExport(resource="orders"))`.

kinds      what can be done: job classes and handlers
enqueue    writes a row in the caller's transaction
tables     the truth
states     every move of a job, each one statement
relay      brings what is due to the broker, and what was lost back; asks `due`
schedules  cron lines that become rows
broker     Celery, which carries ids
perform    a worker's side: claim, run, settle; `lease` keeps the right to do so, `run` is the handler's view
cli        the command `jobs`
"""

from app.core.jobs.enqueue import enqueue
from app.core.jobs.errors import GiveUp
from app.core.jobs.kinds import Job, handles
from app.core.jobs.run import Run
from app.core.jobs.schedules import schedule

__all__ = ["GiveUp", "Job", "Run", "enqueue", "handles", "schedule"]
