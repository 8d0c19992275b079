"""Erase accounts whose owners asked for it; forget what expired."""

from app.core.jobs import Job, Run, handles, schedule
from app.services import tokens, users


class EraseUsers(Job, unique=True, time_limit=600):
    """Erase the accounts whose two weeks are over, end what expired."""


schedule(EraseUsers(), cron="*/15 * * * *", zone="UTC")


@handles(EraseUsers)
async def erase_users(job: EraseUsers, run: Run) -> dict[str, int]:
    """Say how many."""
    return {"erased": await users.erase_due(run.db), "expired": await tokens.forget_expired(run.db)}
