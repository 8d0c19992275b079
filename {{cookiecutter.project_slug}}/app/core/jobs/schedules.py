"""Cron lines that become jobs: `schedule(PurgeJobs(), cron="17 3 * * *", zone="UTC")`.

Each tick becomes one row, however many relays run: moving `last_tick` on and writing the job are
one transaction. Missed ticks: after a pause only the last one is made up for. A new schedule
begins with its next tick. Summer time as Debian's cron: a skipped hour's tick comes right after
it, a doubled hour's tick comes once.
"""

from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim
from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert

from app.core.db import Sessions
from app.core.jobs.enqueue import enqueue
from app.core.jobs.kinds import Job
from app.core.jobs.tables import ScheduleRow


class Schedule(NamedTuple):
    """When a job is due again and again."""

    name: str
    job: Job
    cron: str
    zone: ZoneInfo

    def last(self, now: datetime) -> datetime:
        """The latest tick that is not after `now`."""
        local = now.astimezone(self.zone)
        minute = local.replace(second=0, microsecond=0)
        tick = next(CronSim(self.cron, minute, reverse=True))
        later = next(CronSim(self.cron, tick))
        return (later if later <= local else tick).astimezone(UTC)


schedules: dict[str, Schedule] = {}


def schedule(job: Job, *, cron: str, zone: str, name: str = "") -> None:
    """Have this job made at the ticks of a cron line, read in a time zone such as "Europe/Oslo".

    Raises CronSimError for a bad line. The `name`, the job's kind if not given, must be its own.
    """
    name = name or job.options.kind
    new = Schedule(name, job, cron, ZoneInfo(zone))
    CronSim(cron, datetime.now(UTC))
    if schedules.setdefault(name, new) != new:
        raise ValueError(f"Two schedules are called {name}. Give one of them another name.")


async def tick(sessions: Sessions, seen: dict[str, datetime], now: datetime) -> int:
    """Make the jobs whose tick has come; how many. `seen` keeps the database out of it in between.

    `now` is the database's clock: those of several relays may differ.
    """
    made = 0
    for name, each in schedules.items():
        last = each.last(now)
        if seen.get(name) == last:
            continue
        async with sessions.begin() as db:
            await db.execute(insert(ScheduleRow).values(name=name, last_tick=last).on_conflict_do_nothing())
            moved = update(ScheduleRow).where(ScheduleRow.name == name, ScheduleRow.last_tick < last)
            if await db.scalar(moved.values(last_tick=last).returning(ScheduleRow.name)):
                await enqueue(db, each.job)
                made += 1
        seen[name] = last
    return made
