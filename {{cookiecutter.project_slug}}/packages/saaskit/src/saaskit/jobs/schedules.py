"""Jobs that run at fixed times: `schedule(PurgeJobs(), cron="17 3 * * *", zone="UTC")`.

Each tick enqueues one job, however many relays run: advancing `last_tick` and inserting the job are one
transaction. After an outage, only the last missed tick is made up for. A new schedule starts with its next
tick. Daylight saving time is handled as in Debian's cron: a tick in the skipped hour runs right after it,
a tick in the repeated hour runs once.
"""

from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim
from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert

from saaskit.db import Sessionmaker
from saaskit.jobs.job import Job, enqueue
from saaskit.jobs.tables import JobSchedule


class Schedule(NamedTuple):
    """A job and the times at which it runs."""

    name: str
    job: Job
    cron: str
    zone: ZoneInfo

    def last_tick(self, now: datetime) -> datetime:
        """Return the latest tick at or before `now`."""
        local = now.astimezone(self.zone)
        minute = local.replace(second=0, microsecond=0)
        tick = next(CronSim(self.cron, minute, reverse=True))
        later = next(CronSim(self.cron, tick))
        return (later if later <= local else tick).astimezone(UTC)


schedules: dict[str, Schedule] = {}
"""Every imported schedule, by name."""


def schedule(job: Job, *, cron: str, zone: str, name: str = "") -> None:
    """Enqueue the job at the ticks of a cron expression, in a time zone such as "Europe/Oslo".

    The name identifies the schedule and defaults to the job's kind. Raises CronSimError if the expression
    is invalid, ValueError if the name is taken.
    """
    name = name or job.options.kind
    new = Schedule(name, job, cron, ZoneInfo(zone))
    CronSim(cron, datetime.now(UTC))
    if schedules.setdefault(name, new) != new:
        raise ValueError(f"Duplicate schedule {name}. Give one of them another name.")


async def tick(sessionmaker: Sessionmaker, last_ticks: dict[str, datetime], now: datetime) -> int:
    """Enqueue the jobs whose tick has come. Returns their number.

    `last_ticks` remembers the ticks that were handled, so that most rounds need no query. `now` is the
    database's time, because the clocks of several relays may differ.
    """
    enqueued = 0
    for name, entry in schedules.items():
        last = entry.last_tick(now)
        if last_ticks.get(name) == last:
            continue
        async with sessionmaker.begin() as db:
            await db.execute(insert(JobSchedule).values(name=name, last_tick=last).on_conflict_do_nothing())
            advance = update(JobSchedule).where(JobSchedule.name == name, JobSchedule.last_tick < last)
            if await db.scalar(advance.values(last_tick=last).returning(JobSchedule.name)):
                await enqueue(db, entry.job)
                enqueued += 1
        last_ticks[name] = last
    return enqueued
