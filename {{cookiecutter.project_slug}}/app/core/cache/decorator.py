"""`@cached(...)` around an `async def`."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from time import monotonic
from typing import Any, ParamSpec, TypeVar

from app.core.cache import audience, status
from app.core.cache.entry import Windows
from app.core.cache.function import Function, Tags
from app.core.cache.lookup import Lookup
from app.core.cache.store import current

P = ParamSpec("P")
T = TypeVar("T")


def cached(
    name: str,
    *,
    revalidate: float,
    expire: float | None = None,
    stale_if_error: float = 0,
    negative: float = 5,
    tags: Tags = (),
    audience: audience.Scope = "caller",
    local: float = 1,
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """Cache what the function returns, across processes. All times are seconds.

    Fresh until `revalidate`; then served while one call refreshes it, until `expire` (default: the same);
    then callers wait, and get the old value for `stale_if_error` more if the call fails. A NotFound is kept
    for `negative`. A copy in the process answers for `local` without asking the server; 0 asks each time.
    Entries belong to the caller (audience.py) unless `audience` says that a tenant or everyone shares them.
    Arguments and result are JSON by their types; the result's type is the annotation.
    """
    windows = Windows(revalidate, revalidate if expire is None else expire, stale_if_error, negative)
    if not 0 < windows.revalidate <= windows.expire or min(stale_if_error, local) < 0 or negative <= 0:
        raise ValueError(f"{name}: 0 < revalidate <= expire, 0 <= stale_if_error, 0 < negative, 0 <= local")

    def decorate(call: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        function = Function(call, name, windows, tags, audience, local)
        counts = status.counters[name]

        @wraps(call)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            store, key = current(), function.key(args, kwargs)
            copy = store.local.copies.get(key)
            if copy is not None and copy.until > (now := monotonic()):
                outcome = "stale" if copy.stale else "hit"
                counts[outcome] += 1
                if (seen := status.watched()) is not None:
                    seen.append((name, outcome, copy.dies - now))
                return copy.value if copy.shared else function.open(copy)
            joined = flight = store.flights.get(key)
            if flight is None:
                flight = store.join(key, Lookup(store, function, args, kwargs, copy).answer(key))
            try:
                copy, outcome = await asyncio.shield(flight)
            except Exception:
                status.note(name, "error")
                raise
            outcome = "collapsed" if joined and outcome == "miss" else outcome
            status.note(name, outcome, copy.dies - monotonic())
            return function.open(copy)

        return wrapper

    return decorate
