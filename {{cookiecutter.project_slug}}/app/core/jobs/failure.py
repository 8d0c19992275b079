"""What becomes of a job whose attempt failed."""

import random

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.jobs.errors import BadArguments, GiveUp, UnknownKind, described
from app.core.jobs.kinds import kinds
from app.core.jobs.states import Claim, settle

LONGEST = 3600
UNKNOWN_SECONDS = 60
"""Between two tries of a job that this code does not know: a deployment is probably under way."""


def delay_before(attempt: int, backoff: float) -> float:
    """Seconds before the attempt after this one: doubled each time, spread so that retries do not meet."""
    return min(LONGEST, backoff * 2 ** (attempt - 1)) * random.uniform(0.5, 1)  # noqa: S311 (no secret)


async def fail(db: AsyncSession, claimed: Claim, error: BaseException) -> str:
    """Try again later, or leave it for dead. The new state; `lost` if the lease was.

    What cannot become better is not tried again: GiveUp, and arguments that the class refuses.
    """
    known = kinds.get(claimed.kind)
    hopeless = isinstance(error, GiveUp | BadArguments) or claimed.attempts >= claimed.max_attempts
    state = "dead" if hopeless else "queued"
    delay = delay_before(claimed.attempts, known.options.backoff if known else 2)
    if isinstance(error, UnknownKind):
        delay = UNKNOWN_SECONDS
    settled = await settle(
        db,
        claimed,
        state,
        outcome="failed",
        error=described(error),
        delay=0 if hopeless else delay,
    )
    return settled or "lost"
