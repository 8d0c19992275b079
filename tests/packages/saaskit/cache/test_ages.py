"""The age of an entry decides if it is returned, refreshed, or replaced; failures fall back to older values."""

import asyncio

import pytest
from packages.saaskit.cache.support import PATIENCE, Clock, Source, refreshed
from saaskit.cache import CacheStatus, cached, revalidate_tag
from saaskit.cache.store import Store, Windows, jittered
from saaskit.errors import Forbidden, NotFound


async def test_a_fresh_value_is_computed_once_for_all_processes(store: Store, other: Store, source: Source):
    reading = source.cached()
    first = await reading("oslo")
    with other.activate():
        assert await reading("oslo") == first
    assert await reading(place="oslo") == first
    assert source.calls == 1


async def test_a_stale_value_is_returned_while_one_call_refreshes_it(store: Store, source: Source, clock: Clock):
    reading = source.cached()
    await reading("oslo")
    source.value, gate = 1, source.hold()
    clock.advance(61)
    async with asyncio.timeout(PATIENCE):  # a caller that waited for the refresh would wait for ever
        readings = await asyncio.gather(*(reading("oslo") for _ in range(50)))
        await gate.reached.wait()
    assert {each.number for each in readings} == {0}
    gate.opened.set()
    await refreshed(store)
    assert (await reading("oslo")).number == 1
    assert source.calls == 2


async def test_callers_wait_for_a_new_value_in_place_of_an_expired_one(store: Store, source: Source, clock: Clock):
    reading = source.cached()
    await reading("oslo")
    source.value = 1
    clock.advance(601)
    assert (await reading("oslo")).number == 1


@pytest.mark.parametrize("age", [61, 601])
async def test_an_older_value_replaces_an_error(store: Store, source: Source, clock: Clock, age: int):
    reading = source.cached(stale_if_error=3600)
    await reading("oslo")
    source.error = ConnectionError("down")
    clock.advance(age)
    for _ in range(20):
        readings = await asyncio.gather(*(reading("oslo") for _ in range(10)))
        assert {each.number for each in readings} == {0}
    await refreshed(store)
    assert source.calls == 2, "the failure is remembered for a moment"


async def test_the_error_is_raised_after_the_last_window(store: Store, source: Source, clock: Clock):
    reading = source.cached(stale_if_error=3600)
    await reading("oslo")
    source.error = ConnectionError("down")
    clock.advance(600 + 3601)
    with pytest.raises(ConnectionError):
        await reading("oslo")


@pytest.mark.requirement("PROXY-8")
async def test_a_status_below_500_is_neither_cached_nor_replaced_by_an_older_value(
    store: Store, source: Source, clock: Clock
):
    reading = source.cached(stale_if_error=3600)
    await reading("oslo")
    source.error = Forbidden()
    clock.advance(601)
    for calls in (2, 3):
        with pytest.raises(Forbidden):
            await reading("oslo")
        assert source.calls == calls


async def test_an_error_is_not_cached(store: Store, source: Source):
    reading = source.cached()
    source.error = ConnectionError("down")
    with pytest.raises(ConnectionError):
        await reading("oslo")
    source.error = None
    assert await reading("oslo")


async def test_not_found_is_cached_for_a_short_time(store: Store, other: Store, source: Source, clock: Clock):
    reading = source.cached(negative=5)
    source.error = NotFound("No such place.")
    for process in (store, store, other):
        with process.activate(), pytest.raises(NotFound, match="No such place"):
            await reading("atlantis")
    assert source.calls == 1
    source.error = None
    clock.advance(6)
    assert await reading("atlantis")


async def test_a_failed_refresh_is_not_repeated_at_once_without_a_server(source: Source, clock: Clock):
    reading = source.cached(stale_if_error=60, negative=5)
    store = Store("", clock=clock, monotonic=clock)
    with store.activate():
        assert (await reading("oslo")).number == 0
        source.error = ConnectionError("down")
        clock.advance(61)
        for _ in range(20):
            assert (await reading("oslo")).number == 0
            await refreshed(store)
        assert source.calls == 2
        clock.advance(6)
        assert (await reading("oslo")).number == 0
        await refreshed(store)
        assert source.calls == 3, "after the pause it is tried again"
    await store.aclose()


@pytest.mark.parametrize(
    "options", [{"revalidate": 0}, {"revalidate": 2, "expire": 1}, {"revalidate": 1, "negative": 0}]
)
def test_windows_in_the_wrong_order_are_refused(options: dict):
    with pytest.raises(ValueError, match="0 < revalidate <= expire"):
        cached("wrong", **options)


def test_entries_created_together_become_stale_at_different_times():
    windows = Windows(100, 100, 0, 5)
    ages = [-jittered(0, windows) for _ in range(1000)]
    assert 0 <= min(ages) < 0.5
    assert 4.5 < max(ages) <= 5


async def test_cache_status_lists_the_outcomes_of_the_calls(store: Store, source: Source):
    reading = source.cached(local=60)
    with CacheStatus() as status:
        assert status.header() == ""
        await asyncio.gather(reading("oslo"), reading("oslo"))
        await reading("oslo")
        await revalidate_tag("all")
        await reading("oslo")
    await reading("oslo")
    members = status.header().split(", ")
    assert members[:2] == ["reading; fwd=miss; stored", "reading; fwd=miss; collapsed"]
    assert members[2].startswith(("reading; hit; ttl=5", "reading; hit; ttl=60"))
    assert members[3].endswith("detail=refreshing")
    assert len(members) == 4, "the call after the block is not in it"
