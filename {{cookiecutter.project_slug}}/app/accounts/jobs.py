"""The scheduled job of accounts. The jobs that send e-mails are in emails.py."""

from saaskit.jobs import Job, JobContext, handler, schedule

from app.accounts import emails, users

__all__ = ["EraseUsers", "emails"]


class EraseUsers(Job, unique=True, time_limit=600):
    """Erases accounts whose grace period has expired, and deletes expired tokens and sessions."""


schedule(EraseUsers(), cron="*/15 * * * *", zone="UTC")


@handler(EraseUsers)
async def erase_users(job: EraseUsers, context: JobContext) -> dict[str, int]:
    """Return the numbers of erased accounts and of deleted rows."""
    erased, expired = await users.erase_due(context.db), await users.delete_expired(context.db)
    return {"erased": erased, "expired": expired}
