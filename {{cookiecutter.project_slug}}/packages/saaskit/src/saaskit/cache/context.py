"""The request or job that calls cached functions: its user, and the outcomes of the calls (RFC 9211)."""

from contextvars import ContextVar, Token
from typing import Literal, NamedTuple

Audience = Literal["caller", "tenant", "everyone"]
"""Users that share an entry: one user, all users of a tenant, or all users."""


class Identity(NamedTuple):
    """The user that cached values are for. Both ids are empty when no one is signed in."""

    tenant: str = ""
    user: str = ""


ANONYMOUS = Identity()
_identity: ContextVar[Identity] = ContextVar("cache_identity", default=ANONYMOUS)
current_identity = _identity.get


def vary_by_user(user_id: str, tenant: str = "") -> None:
    """Give this user separate cache entries for the rest of the request or job.

    A cached function has separate entries for each user, unless it declares `audience="tenant"` or
    `audience="everyone"`. The code that authenticates the user calls this once per request or job.
    Call it from `async` code: a context variable that is set in a worker thread is lost.
    """
    _identity.set(Identity(tenant, user_id))


def identity_for(audience: Audience) -> Identity:
    """Return the part of the identity that the audience distinguishes.

    Raises LookupError for "tenant" if the current user has none.
    """
    if audience == "everyone":
        return ANONYMOUS
    identity = current_identity()
    if audience == "caller":
        return identity
    if not identity.tenant:
        raise LookupError("audience='tenant' needs a tenant: call vary_by_user(user_id, tenant) first")
    return Identity(tenant=identity.tenant)


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
collected = _collected.get
"""Return the outcomes of the current `with CacheStatus():` block, or None outside of one."""


class CacheStatus:
    """Collects the outcomes of the cached calls in a block: `with CacheStatus() as status: …`."""

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
    if (outcomes := collected()) is not None:
        outcomes.append((name, outcome, ttl))
