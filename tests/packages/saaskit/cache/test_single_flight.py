"""All callers of one key, in all processes, share one call of the function."""

import asyncio

import pytest
from packages.saaskit.cache.support import Clock, Source, refreshed, until
from redis.asyncio import Redis
from saaskit.cache import CacheStatus, redis_backend
from saaskit.cache.store import Store


async def _wait_for_commands(redis: Redis, command: str, times: int) -> None:
    """Wait until the server has run the command so many times more."""

    async def count() -> int:
        return (await redis.info("commandstats")).get(f"cmdstat_{command}", {"calls": 0})["calls"]

    before = await count()

    async def reached() -> bool:
        return await count() >= before + times

    await until(reached)


@pytest.mark.requirement("PROXY-11")
async def test_400_callers_in_two_processes_make_one_call(store: Store, other: Store, redis: Redis, source: Source):
    gate, reading = source.hold(), source.cached()
    callers = []
    for process in (store, other):
        with process.activate():
            callers += [asyncio.create_task(reading("oslo")) for _ in range(200)]
            await asyncio.sleep(0)
    await gate.reached.wait()
    await _wait_for_commands(redis, "mget", 3)  # the process that does not compute the value polls for it
    gate.opened.set()
    assert len(set(await asyncio.gather(*callers))) == 1
    assert source.calls == 1


async def test_a_cancelled_caller_does_not_cancel_the_call_for_others(store: Store, source: Source):
    gate, reading = source.hold(), source.cached()
    first, second = asyncio.create_task(reading("oslo")), asyncio.create_task(reading("oslo"))
    await gate.reached.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    gate.opened.set()
    assert (await second).place == "oslo"
    assert source.calls == 1


async def test_a_process_that_dies_in_a_call_delays_the_others_until_its_lease_expires(
    store: Store, other: Store, redis: Redis, source: Source
):
    gate, reading = source.hold(), source.cached(tags=())
    with other.activate():
        dying = asyncio.create_task(reading("oslo"))
        await gate.reached.wait()
    await other.aclose()
    with pytest.raises(asyncio.CancelledError):
        await dying
    (lease,) = await redis.keys("cache:reading:*:lease")
    assert 0 < await redis.pttl(lease) <= redis_backend.LEASE_SECONDS * 1000
    waiting = asyncio.create_task(reading("oslo"))
    await _wait_for_commands(redis, "mget", 5)
    assert (waiting.done(), source.calls) == (False, 1)
    await redis.pexpire(lease, 1)
    assert await waiting
    assert source.calls == 2


async def test_a_call_that_takes_longer_than_its_lease_is_made_once_and_stored(
    store: Store, other: Store, redis: Redis, source: Source, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(redis_backend, "LEASE_SECONDS", 0.9)
    gate, reading = source.hold(), source.cached()
    calls = []
    for process in (store, other):
        with process.activate():
            calls.append(asyncio.create_task(reading("oslo")))
            await asyncio.sleep(0)
    await gate.reached.wait()
    await _wait_for_commands(redis, "pexpire", 4)  # a renewal each third of the lease: it would be over
    gate.opened.set()
    assert len(set(await asyncio.gather(*calls))) == 1
    with other.activate():
        await reading("oslo")
    assert source.calls == 1


async def test_a_value_whose_lease_was_lost_is_reported_as_not_stored(store: Store, redis: Redis, source: Source):
    gate, reading = source.hold(), source.cached()
    with CacheStatus() as status:
        caller = asyncio.create_task(reading("oslo"))
        await gate.reached.wait()
        (lease,) = await redis.keys("cache:reading:*:lease")
        await redis.set(lease, "another")
        gate.opened.set()
        await caller
    assert status.header() == "reading; fwd=miss; detail=degraded"


async def test_a_refresh_that_another_process_finished_first_is_not_repeated(
    store: Store, other: Store, source: Source, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    """Another process begins and ends its refresh between this one's read and its attempt to acquire."""
    reading = source.cached()
    await reading("oslo")
    clock.advance(61)
    acquire = store.backend.acquire

    async def acquire_after_the_other(*args):
        with other.activate():
            await reading("oslo")
            await refreshed(other)
        return await acquire(*args)

    monkeypatch.setattr(store.backend, "acquire", acquire_after_the_other)
    assert (await reading("oslo")).number == 0
    await refreshed(store)
    assert source.calls == 2
