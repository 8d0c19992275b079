"""What the cache did: counters of the process, and `Cache-Status` (RFC 9211) of one request."""

from collections import Counter, defaultdict
from contextvars import ContextVar, Token
from typing import Literal

Outcome = Literal["hit", "stale", "stale-if-error", "miss", "collapsed", "error", "degraded"]
Seen = list[tuple[str, Outcome, float]]

counters: defaultdict[str, Counter[Outcome]] = defaultdict(Counter)
"""Name → outcome → how often, since the process started. `degraded`: called without the server's help."""

_seen: ContextVar[Seen | None] = ContextVar("cache_status", default=None)
watched = _seen.get
_WORDS: dict[Outcome, str] = {
    "hit": "hit; ttl={ttl:.0f}",
    "stale": "hit; ttl={ttl:.0f}; detail=refreshing",
    "stale-if-error": "hit; ttl={ttl:.0f}; detail=stale-if-error",
    "miss": "fwd=miss; stored",
    "collapsed": "fwd=miss; collapsed",
    "error": "fwd=miss; detail=error",
    "degraded": "fwd=miss; detail=degraded",
}
MOST_MEMBERS = 8


def note(name: str, outcome: Outcome, ttl: float = 0.0) -> None:
    """Count it, and remember it for the answer that is being made, if one is."""
    counters[name][outcome] += 1
    if (seen := watched()) is not None:
        seen.append((name, outcome, ttl))


def watch() -> tuple[Seen, Token[Seen | None]]:
    """Collect from here on; give the token to `unwatch`."""
    seen: Seen = []
    return seen, _seen.set(seen)


unwatch = _seen.reset


def header(seen: Seen) -> str:
    """One member for each cached function that was called, as in `weather; hit; ttl=42`."""
    members = dict.fromkeys(f"{name}; {_WORDS[outcome].format(ttl=ttl)}" for name, outcome, ttl in seen)
    return ", ".join(list(members)[:MOST_MEMBERS])
