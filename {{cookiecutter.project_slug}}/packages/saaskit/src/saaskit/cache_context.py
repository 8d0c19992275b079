"""The cache's part of a request or job: the user that it is for, and the outcomes of its cached calls.

The web layer and the job executor import this module and not `saaskit.cache`, so they also work with a cache
that a product has taken over.
"""

from contextvars import ContextVar, Token
from typing import Literal, NamedTuple

__all__ = [
    "ANONYMOUS",
    "CacheStatus",
    "Identity",
    "Outcome",
    "current_identity",
    "current_outcomes",
    "record",
    "vary_by_user",
]


class Identity(NamedTuple):
    """The user that cached values are for. Both ids are empty when no one is signed in."""

    tenant: str = ""
    user: str = ""


ANONYMOUS = Identity()
_identity: ContextVar[Identity] = ContextVar("cache_identity", default=ANONYMOUS)
current_identity = _identity.get


def vary_by_user(user_id: str, tenant: str = "") -> None:
    """Give this user separate cache entries for the rest of the request or job.

    Call it from `async` code: a context variable that is set in a worker thread is lost.
    """
    _identity.set(Identity(tenant, user_id))


Outcome = Literal["hit", "stale", "stale-if-error", "miss", "collapsed", "error", "degraded"]
"""`collapsed`: another caller was computing the value. `degraded`: computed without the server's help."""

_MEMBERS: dict[Outcome, str] = {
    "hit": "hit; ttl={ttl:.0f}",
    "stale": "hit; ttl={ttl:.0f}; detail=refreshing",
    "stale-if-error": "hit; ttl={ttl:.0f}; detail=stale-if-error",
    "miss": "fwd=miss; stored",
    "collapsed": "fwd=miss; collapsed",
    "error": "fwd=miss; detail=error",
    "degraded": "fwd=miss; detail=degraded",
}
MAX_MEMBERS = 8

Outcomes = list[tuple[str, Outcome, float]]
"""Name of the function, outcome, remaining freshness in seconds."""

_collected: ContextVar[Outcomes | None] = ContextVar("cache_status", default=None)
current_outcomes = _collected.get
"""Return the outcomes of the current `with CacheStatus():` block, or None outside of one."""


class CacheStatus:
    """Collects `Cache-Status` (RFC 9211) in a block: `with CacheStatus() as status: …`."""

    def __init__(self) -> None:
        self._outcomes: Outcomes = []

    def __enter__(self) -> "CacheStatus":
        self._token: Token[Outcomes | None] = _collected.set(self._outcomes)
        return self

    def __exit__(self, *_: object) -> None:
        _collected.reset(self._token)

    def header(self) -> str:
        """Return one member for each cached function that was called, as in `weather; hit; ttl=42`; or ""."""
        if not self._outcomes:
            return ""
        members = dict.fromkeys(
            f"{name}; {_MEMBERS[outcome].format(ttl=ttl)}" for name, outcome, ttl in self._outcomes
        )
        return ", ".join(list(members)[:MAX_MEMBERS])


def record(name: str, outcome: Outcome, ttl: float = 0.0) -> None:
    """Add an outcome to the current block, if there is one."""
    if (outcomes := current_outcomes()) is not None:
        outcomes.append((name, outcome, ttl))
