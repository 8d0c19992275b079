"""The cache of this process: copies inside, the server outside, and the calls that are on their way."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Hashable
from contextlib import asynccontextmanager
from typing import Any

from app.core.cache.link import Away
from app.core.cache.local import Copy, Local
from app.core.cache.server import Server, mark_keys


class Store:
    """Made for one event loop. `epoch` counts this process's own invalidations."""

    def __init__(self, url: str) -> None:
        self.server = Server(url)
        self.local = Local()
        self.epoch = 0
        self.flights: dict[Hashable, asyncio.Task[Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def join(self, key: Hashable, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start the work as the one flight of this key. It outlives its caller: others may wait."""
        task = self.flights[key] = asyncio.create_task(work)
        self._tasks.add(task)

        def landed(task: asyncio.Task[Any]) -> None:
            self._tasks.discard(task)
            if self.flights.get(key) is task:
                del self.flights[key]
            if not task.cancelled():
                task.exception()  # somebody may have waited for it, nobody must

        task.add_done_callback(landed)
        return task

    def keep(self, key: Hashable, copy: Copy, epoch: int) -> None:
        """Put a copy that was read since `epoch` began: no invalidation of ours has overtaken it."""
        if epoch == self.epoch:
            self.local.put(key, copy)

    async def close(self) -> None:
        """End what is on its way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.server.link.close()


class _Here(threading.local):
    """An event loop's stores are its thread's: the pool `threads` of a worker has several."""

    def __init__(self) -> None:
        self.stores = [Store("")]


_here = _Here()


def current() -> Store:
    """The store of this event loop. Without one, a Store on no server: copies of this thread alone."""
    return _here.stores[-1]


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Store]:
    """Cache on this server for a while; an application and a worker wrap their life in it."""
    store = Store(url)
    _here.stores.append(store)
    try:
        yield store
    finally:
        _here.stores.remove(store)
        await store.close()


async def revalidate_tag(tag: str) -> None:
    """Mark as stale: what carries the tag is served once more while it refreshes."""
    store = current()
    await _mark(store, mark_keys(tag)[1])
    store.epoch += 1
    for key in store.local.with_tag(tag):
        copy = store.local.copies[key]
        copy.until, copy.stale = 0.0, True


async def update_tag(tag: str) -> None:
    """Expire now, to read your own writes: what carries the tag is gone. Call it after the commit."""
    store = current()
    await _mark(store, mark_keys(tag)[0])
    store.epoch += 1
    store.flights.clear()
    for key in store.local.with_tag(tag):
        store.local.drop(key)


async def _mark(store: Store, name: str) -> None:
    try:
        await store.server.mark([name])
    except Away:
        return  # kept, and sent before the server is used again


async def answers() -> bool:
    """Whether the server answers."""
    return await current().server.answers()
