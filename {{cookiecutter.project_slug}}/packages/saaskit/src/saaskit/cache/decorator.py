"""`@cached(...)`: an `async` function whose values are cached."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from saaskit import cache_context
from saaskit.cache.entry import Windows
from saaskit.cache.function import CachedFunction, Tags
from saaskit.cache.keys import Audience
from saaskit.cache.loader import Loader
from saaskit.cache.store import MemoryEntry, current_store
from saaskit.errors import NotFound

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
    audience: Audience = "caller",
    local: float = 1,
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """Cache the function's return values across processes. All times are seconds.

    A value is fresh until `revalidate`. Until `expire` (default: the same) it is returned while one call
    refreshes it. After that, callers wait for a new value, and for `stale_if_error` more seconds they get the
    old one if the call fails. A NotFound is cached for `negative`.

    Each process returns a value from its memory for `local` seconds before it asks the server again; 0 asks
    every time. Each user has separate entries, unless `audience` is "tenant" or "everyone".

    The arguments must have a JSON form, and the function a return annotation. `tags` are names, or a function
    of the arguments that returns them.
    """
    windows = Windows(revalidate, revalidate if expire is None else expire, stale_if_error, negative)
    if not 0 < windows.revalidate <= windows.expire or min(stale_if_error, local) < 0 or negative <= 0:
        raise ValueError(f"{name}: 0 < revalidate <= expire, 0 <= stale_if_error, 0 < negative, 0 <= local")

    def decorate(call: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        function = CachedFunction(call, name, windows, tags, audience, local)

        @wraps(call)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            store, key = current_store(), function.memory_key(args, kwargs)
            entry = store.memory.entries.get(key)
            if entry is not None and entry.trusted_until > (now := store.monotonic()):
                if (outcomes := cache_context.current_outcomes()) is not None:
                    outcomes.append((name, "stale" if entry.stale else "hit", entry.fresh_until - now))
                return entry.value if entry.shared else _value(function, entry)
            flight = store.flights.get(key)
            joined = flight is not None
            if flight is None:
                flight = store.start(key, Loader(store, function, args, kwargs, key, entry).load())
            try:
                entry, outcome = await asyncio.shield(flight)
            except Exception:
                cache_context.record(name, "error")
                raise
            if joined and outcome == "miss":
                outcome = "collapsed"
            cache_context.record(name, outcome, entry.fresh_until - store.monotonic())
            return _value(function, entry)

        return wrapper

    return decorate


def _value(function: CachedFunction, entry: MemoryEntry) -> Any:
    """Return the shared object if it is immutable, else a new one; raises a cached NotFound."""
    if entry.entry.not_found:
        raise NotFound(entry.value)
    return entry.value if entry.shared else function.codec.load(entry.entry.body)
