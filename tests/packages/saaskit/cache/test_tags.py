"""Invalidation by tags: it reaches all processes, and wins against calls that began before it."""

import asyncio

import pytest
from packages.saaskit.cache.support import Clock, Source, refreshed
from redis.asyncio import Redis
from saaskit.cache import connect, redis_backend, revalidate_tag, update_tag
from saaskit.cache.store import Store

VERSIONS = ["cache:tag:all:update", "cache:tag:all:revalidate"]


async def test_revalidate_returns_the_old_value_once_more_and_update_does_not(
    store: Store, other: Store, source: Source
):
    reading = source.cached(tags=lambda place: [f"city:{place}"])
    await reading("oslo")
    source.value = 1
    await revalidate_tag("city:paris")
    assert (await reading("oslo")).number == 0
    assert source.calls == 1
    with other.activate():
        await revalidate_tag("city:oslo")
        assert (await reading("oslo")).number == 0
        await refreshed(other)
    assert (await reading("oslo")).number == 1
    source.value = 2
    with other.activate():
        await update_tag("city:oslo")
    assert (await reading("oslo")).number == 2


async def test_a_process_sees_its_own_invalidations_at_once(store: Store, source: Source):
    reading = source.cached(local=60)
    for number in range(5):
        source.value = number
        await update_tag("all")
        assert (await reading("oslo")).number == number
    source.value = 5
    await revalidate_tag("all")
    assert (await reading("oslo")).number == 4
    await refreshed(store)
    assert (await reading("oslo")).number == 5


async def test_another_process_sees_them_after_local_seconds(store: Store, other: Store, source: Source, clock: Clock):
    reading = source.cached(local=0.2)
    with other.activate():
        await reading("oslo")
    source.value = 1
    await update_tag("all")
    for seconds, number in ((0.19, 0), (0.02, 1)):
        clock.advance(seconds)
        with other.activate():
            assert (await reading("oslo")).number == number


async def test_an_invalidation_during_a_call_never_brings_the_old_value_back(
    store: Store, other: Store, source: Source
):
    """The race, 300 times: a call has read the old value when a process invalidates it."""
    reading = source.cached(local=0)
    for number in range(300):
        source.value = number
        await update_tag("all")
        gate = source.hold()
        caller = asyncio.create_task(reading("oslo"))
        await gate.reached.wait()
        source.value = number + 1
        with (other if number % 2 else store).activate():
            await update_tag("all")
        gate.opened.set()
        await caller
        assert (await reading("oslo")).number == number + 1, "the process that made the call"
        with other.activate():
            assert (await reading("oslo")).number == number + 1, "another process"


async def test_a_caller_that_joins_a_call_after_an_invalidation_gets_the_new_value(
    store: Store, other: Store, source: Source
):
    reading = source.cached(local=60)
    gate = source.hold()
    early = asyncio.create_task(reading("oslo"))
    await gate.reached.wait()
    source.value = 1
    with other.activate():
        await update_tag("all")
    joined = asyncio.create_task(reading("oslo"))
    await asyncio.sleep(0)
    gate.opened.set()
    assert (await joined).number == 1
    assert (await early).number in {0, 1}


async def test_a_lost_update_version_is_a_miss(store: Store, redis: Redis, source: Source):
    reading = source.cached()
    await reading("oslo")
    await redis.delete(VERSIONS[0])
    source.value = 1
    assert (await reading("oslo")).number == 1


async def test_a_lost_revalidate_version_costs_one_refresh(store: Store, redis: Redis, source: Source):
    reading = source.cached()
    await reading("oslo")
    await redis.delete(VERSIONS[1])
    for _ in range(5):
        await reading("oslo")
        await refreshed(store)
    assert source.calls == 2


async def test_tag_versions_live_as_long_as_they_are_used(store: Store, redis: Redis, source: Source, clock: Clock):
    reading = source.cached()
    await reading("oslo")
    for name in VERSIONS:
        await redis.expire(name, 100)
    clock.advance(601)
    await reading("oslo")
    for name in VERSIONS:
        assert await redis.ttl(name) > 100


async def test_a_tag_without_entries_leaves_nothing_on_the_server(store: Store, redis: Redis):
    await update_tag("unused")
    await revalidate_tag("unused")
    assert await redis.keys("*") == []


async def test_invalidations_that_wait_for_the_server_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(redis_backend, "MAX_PENDING", 10)
    async with connect("redis://127.0.0.1:1/0") as store:
        for number in range(30):
            await update_tag(str(number))
        assert list(store.backend.pending) == [f"cache:tag:{number}:update" for number in range(20, 30)]
