"""The cache: what it keeps, for whom and for how long. Two stores on one server stand for two processes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from types import SimpleNamespace
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretBytes, SecretStr

from app.core import cache
from app.core.cache import Audience, audience, cached, entry, fill, link, local, server, status
from app.core.cache.store import Store, _here, connected
from app.core.errors import Forbidden, NotFound
from app.settings import Settings


class Reading(BaseModel):
    model_config = ConfigDict(frozen=True)
    place: str
    number: int


class Source:
    """An upstream in a variable: counts its calls, takes its time, fails when told to."""

    def __init__(self) -> None:
        self.calls, self.value, self.seconds = 0, 0, 0.0
        self.error: Exception | None = None
        self.held: asyncio.Event | None = None
        """Set by the next call, which then waits for `go_on`."""
        self.go_on = asyncio.Event()

    async def read(self, place: str) -> Reading:
        self.calls += 1
        number = self.value
        if self.held:
            held, self.held = self.held, None
            held.set()
            await self.go_on.wait()
        elif self.seconds:
            await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error
        return Reading(place=place, number=number)

    def cached(self, **options):
        options = {"revalidate": 60, "expire": 600, "local": 0, "tags": ["all"]} | options

        @cached("reading", **options)
        async def reading(place: str) -> Reading:
            return await self.read(place)

        return reading


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no outage here; tests/core/test_cache_outage.py has those."""
    monkeypatch.setattr(link, "OPERATION_SECONDS", 10)
    monkeypatch.setattr(link, "SLOW_SECONDS", 10)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def other(store: Store, settings: Settings) -> AsyncIterator[Store]:
    """A second process; it is not the current one."""
    async with connected(settings.redis_url) as other:
        _here.stores.remove(other)
        yield other
        _here.stores.append(other)


@contextmanager
def inside(store: Store) -> Iterator[None]:
    """Run as that process. It ends with the block: awaits in between belong to it, too."""
    _here.stores.append(store)
    try:
        yield
    finally:
        _here.stores.remove(store)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let seconds pass for the age of entries."""

    def move(seconds: float) -> None:
        clock = SimpleNamespace(time=lambda: time.time() + seconds, monotonic=time.monotonic)
        for module in (entry, fill):
            monkeypatch.setattr(module, "time", clock)

    return move


async def settled(store: Store) -> None:
    """Wait for refreshes in the background."""
    while store.flights:
        await asyncio.gather(*store.flights.values(), return_exceptions=True)


async def test_a_fresh_value_is_fetched_once_for_all_processes(store: Store, other: Store, source: Source):
    reading = source.cached()
    first = await reading("oslo")
    with inside(other):
        assert await reading("oslo") == first
    assert await reading(place="oslo") == first
    assert source.calls == 1


async def test_a_stale_value_is_served_while_one_call_refreshes_it(
    store: Store, source: Source, later: Callable
):
    reading = source.cached()
    await reading("oslo")
    source.value, source.seconds = 1, 0.2
    later(61)
    started = time.monotonic()
    assert {answer.number for answer in await asyncio.gather(*(reading("oslo") for _ in range(50)))} == {0}
    assert time.monotonic() - started < 0.2
    await settled(store)
    assert (await reading("oslo")).number == 1
    assert source.calls == 2


async def test_an_expired_value_is_waited_for(store: Store, source: Source, later: Callable):
    reading = source.cached()
    await reading("oslo")
    source.value = 1
    later(601)
    assert (await reading("oslo")).number == 1


@pytest.mark.parametrize("age", [61, 601])
async def test_an_older_value_replaces_an_error(store: Store, source: Source, later: Callable, age: int):
    reading = source.cached(stale_if_error=3600)
    await reading("oslo")
    source.error = ConnectionError("down")
    later(age)
    for _ in range(20):
        answers = await asyncio.gather(*(reading("oslo") for _ in range(10)))
        assert {answer.number for answer in answers} == {0}
    await settled(store)
    assert source.calls == 2, "a failure is remembered for a moment"


async def test_behind_the_last_window_the_error_is_told(store: Store, source: Source, later: Callable):
    reading = source.cached(stale_if_error=3600)
    await reading("oslo")
    source.error = ConnectionError("down")
    later(600 + 3601)
    with pytest.raises(ConnectionError):
        await reading("oslo")


async def test_an_answer_is_no_error(store: Store, source: Source, later: Callable):
    """PROXY-8: 403 and its like are neither kept nor replaced by an older value."""
    reading = source.cached(stale_if_error=3600)
    await reading("oslo")
    source.error = Forbidden()
    later(601)
    for calls in (2, 3):
        with pytest.raises(Forbidden):
            await reading("oslo")
        assert source.calls == calls


async def test_an_error_is_not_kept(store: Store, source: Source):
    reading = source.cached()
    source.error = ConnectionError("down")
    with pytest.raises(ConnectionError):
        await reading("oslo")
    source.error = None
    assert await reading("oslo")


async def test_what_is_not_there_is_kept_for_a_short_time(
    store: Store, other: Store, source: Source, later: Callable
):
    reading = source.cached(negative=5)
    source.error = NotFound("No such place.")
    for process in (store, store, other):
        with inside(process), pytest.raises(NotFound, match="No such place"):
            await reading("atlantis")
    assert source.calls == 1
    source.error = None
    later(6)
    assert await reading("atlantis")


async def test_revalidate_serves_once_more_and_update_does_not(store: Store, other: Store, source: Source):
    reading = source.cached(tags=lambda place: [f"city:{place}"])
    await reading("oslo")
    source.value = 1
    await cache.revalidate_tag("city:paris")
    assert (await reading("oslo")).number == 0
    assert source.calls == 1
    with inside(other):
        await cache.revalidate_tag("city:oslo")
        assert (await reading("oslo")).number == 0
        await settled(other)
    assert (await reading("oslo")).number == 1
    source.value = 2
    with inside(other):
        await cache.update_tag("city:oslo")
    assert (await reading("oslo")).number == 2


async def test_one_process_sees_its_own_invalidations_in_its_copies_at_once(store: Store, source: Source):
    reading = source.cached(local=60)
    for number in range(5):
        source.value = number
        await cache.update_tag("all")
        assert (await reading("oslo")).number == number
    source.value = 5
    await cache.revalidate_tag("all")
    assert (await reading("oslo")).number == 4
    await settled(store)
    assert (await reading("oslo")).number == 5


async def test_another_process_sees_them_when_its_copy_is_due(store: Store, other: Store, source: Source):
    reading = source.cached(local=0.2)
    with inside(other):
        await reading("oslo")
    source.value = 1
    await cache.update_tag("all")
    await asyncio.sleep(0.25)
    with inside(other):
        assert (await reading("oslo")).number == 1


async def test_an_invalidation_during_a_fill_never_brings_the_old_value_back(
    store: Store, other: Store, source: Source
):
    """The race, 1,000 times: a fill has read the old value when another process, or this one, expires it."""
    reading = source.cached(local=0)
    for number in range(1000):
        source.value = number
        await cache.update_tag("all")
        source.held, source.go_on = read, go_on = asyncio.Event(), asyncio.Event()
        caller = asyncio.create_task(reading("oslo"))
        await read.wait()
        source.value = number + 1
        with inside(other if number % 2 else store):
            await cache.update_tag("all")
        go_on.set()
        await caller
        assert (await reading("oslo")).number == number + 1, "the process that filled"
        with inside(other):
            assert (await reading("oslo")).number == number + 1, "another process"


async def test_callers_who_come_after_an_expiration_never_join_the_fill_before_it(
    store: Store, other: Store, source: Source
):
    reading = source.cached(local=60)
    source.seconds = 0.1
    early = asyncio.create_task(reading("oslo"))
    await asyncio.sleep(0.05)
    source.value = 1
    with inside(other):
        await cache.update_tag("all")
    joined = asyncio.create_task(reading("oslo"))
    assert (await joined).number == 1
    assert (await early).number in {0, 1}


async def test_a_lost_mark_is_a_miss(store: Store, source: Source):
    reading = source.cached()
    await reading("oslo")
    await store.server.link.run(lambda client: client.delete("cache:tag:all:gone"))
    source.value = 1
    assert (await reading("oslo")).number == 1


async def test_a_lost_stale_mark_costs_one_refresh(store: Store, source: Source):
    reading = source.cached()
    await reading("oslo")
    await store.server.link.run(lambda client: client.delete("cache:tag:all:stale"))
    for _ in range(5):
        await reading("oslo")
        await settled(store)
    assert source.calls == 2


async def test_marks_live_as_long_as_they_are_used(store: Store, source: Source, later: Callable):
    reading = source.cached()
    await reading("oslo")
    marks = ["cache:tag:all:gone", "cache:tag:all:stale"]
    for mark in marks:
        await store.server.link.run(lambda client, mark=mark: client.expire(mark, 100))
    later(601)
    await reading("oslo")
    for mark in marks:
        assert await store.server.link.run(lambda client, mark=mark: client.ttl(mark)) > 100


async def test_what_was_refreshed_meanwhile_is_not_refreshed_again(
    store: Store, other: Store, source: Source, later: Callable, monkeypatch: pytest.MonkeyPatch
):
    """Another process begins and ends its refresh between this one's reading and its taking the lease."""
    reading = source.cached()
    await reading("oslo")
    later(61)
    acquire = store.server.acquire

    async def after_the_other(*args):
        with inside(other):
            await reading("oslo")
            await settled(other)
        return await acquire(*args)

    monkeypatch.setattr(store.server, "acquire", after_the_other)
    assert (await reading("oslo")).number == 0
    await settled(store)
    assert source.calls == 2


async def test_a_tag_that_nothing_carries_leaves_nothing_behind(store: Store):
    await cache.update_tag("nobody")
    await cache.revalidate_tag("nobody")
    assert await store.server.link.run(lambda client: client.keys("cache:tag:*")) == []


async def test_what_waits_for_the_server_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "MOST_PENDING", 10)
    async with connected("redis://127.0.0.1:1/0") as store:
        for number in range(30):
            await cache.update_tag(str(number))
        assert list(store.server.pending) == [f"cache:tag:{number}:gone" for number in range(20, 30)]


@pytest.mark.parametrize("junk", [b"", b"\n", b"value\n{}", b"value 1e9 - -\n{", b"\x80\x04pickle"])
async def test_what_we_did_not_write_is_a_miss(store: Store, source: Source, junk: bytes):
    reading = source.cached(tags=())
    await reading("oslo")
    (key,) = await store.server.link.run(lambda client: client.keys("cache:reading:*"))
    await store.server.link.run(lambda client: client.set(key, junk))
    assert (await reading("oslo")).place == "oslo"
    assert source.calls == 2


async def test_a_process_that_died_in_a_fill_holds_up_the_others_no_longer_than_its_lease(
    store: Store, source: Source
):
    reading = source.cached(tags=())
    await reading("oslo")
    (key,) = await store.server.link.run(lambda client: client.keys("cache:reading:*"))
    await store.server.link.run(lambda client: client.delete(key))
    await store.server.link.run(lambda client: client.set(key + b":lease", "dead", px=300))  # type: ignore[operator]
    started = time.monotonic()
    assert await reading("oslo")
    assert 0.2 < time.monotonic() - started < 2
    assert source.calls == 2


async def test_a_call_that_outlives_its_lease_is_made_once_and_kept(
    store: Store, other: Store, source: Source, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "LEASE_SECONDS", 0.3)
    source.seconds = 1
    reading = source.cached()
    calls = []
    for process in (store, other):
        with inside(process):
            calls.append(asyncio.create_task(reading("oslo")))
            await asyncio.sleep(0)
    assert len(set(await asyncio.gather(*calls))) == 1
    with inside(other):
        await reading("oslo")
    assert source.calls == 1


async def test_who_lost_his_lease_does_not_say_that_it_was_stored(store: Store, source: Source):
    source.held = held = asyncio.Event()
    reading = source.cached()
    seen, token = status.watch()
    caller = asyncio.create_task(reading("oslo"))
    await held.wait()
    (lease,) = await store.server.link.run(lambda client: client.keys("cache:reading:*:lease"))
    await store.server.link.run(lambda client: client.set(lease, "another"))
    source.go_on.set()
    await caller
    status.unwatch(token)
    assert status.header(seen) == "reading; fwd=miss; detail=degraded"


async def test_200_callers_make_one_call(store: Store, other: Store, source: Source):
    """PROXY-11."""
    source.seconds = 0.1
    reading = source.cached()

    async def burst(process: Store) -> None:
        with inside(process):
            tasks = [asyncio.create_task(reading("oslo")) for _ in range(200)]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    await asyncio.gather(burst(store), burst(other))
    assert source.calls == 1


async def test_a_caller_who_hangs_up_takes_nobody_with_him(store: Store, source: Source):
    source.seconds = 0.1
    reading = source.cached()
    first, second = asyncio.create_task(reading("oslo")), asyncio.create_task(reading("oslo"))
    await asyncio.sleep(0.05)
    first.cancel()
    assert (await second).place == "oslo"
    assert source.calls == 1


async def test_one_caller_never_gets_what_is_anothers(store: Store, source: Source):
    """PROXY-11: neither kept nor waited for together, unless the function says so."""
    source.seconds = 0.05
    own, team, shared = source.cached(), source.cached(audience="tenant"), source.cached(audience="everyone")

    async def as_caller(who: Audience, reading) -> Reading:
        audience.serve(who)
        return await reading("oslo")

    callers = [Audience(tenant, user) for tenant in ("a", "b") for user in ("", "1", "2")]
    for reading, calls in ((own, 6), (team, 2), (shared, 1)):
        source.calls = 0
        await cache.update_tag("all")
        for _ in range(2):
            await asyncio.gather(*(asyncio.create_task(as_caller(who, reading)) for who in callers))
        assert source.calls == calls


async def test_what_everyone_gets_holds_nothing_of_the_caller_who_came_first(store: Store):
    @cached("mine", revalidate=60)
    async def mine() -> str:
        return audience.current().user

    @cached("ours", revalidate=60, audience="everyone")
    async def ours() -> str:
        return f"of {await mine()}"

    for user in ("alice", "bob"):
        audience.serve(Audience(user=user))
        assert await ours() == "of "
        assert await mine() == user


async def test_a_tenants_value_needs_a_tenant(store: Store, source: Source):
    reading = source.cached(audience="tenant")
    audience.serve(Audience(user="alice"))
    with pytest.raises(LookupError, match="tenant"):
        await reading("oslo")
    assert source.calls == 0


async def test_another_schema_is_another_key(store: Store):
    def make(kind: type):
        @cached("thing", revalidate=60)
        async def thing():
            return kind()

        vars(thing)["__wrapped__"].__annotations__["return"] = kind
        return thing

    class Old(BaseModel):
        name: str = "old"

    class New(BaseModel):
        name: str = "new"
        size: int = 1

    assert await make(Old)() == Old()
    assert await make(New)() == New()


class Token(BaseModel):
    hidden: str = Field(exclude=True)

    def __init__(self, hidden: str) -> None:
        super().__init__(hidden=hidden)


class Credentials(BaseModel):
    key: SecretStr


async def test_arguments_that_only_look_alike_are_different_keys(store: Store):
    @cached("echo", revalidate=60)
    async def echo(value: object = None, *, flag: bool = False) -> str:
        return repr((value, flag))

    ident = UUID(int=1)
    values = [1, True, "1", 1.0, 0.0, -0.0, None, "null", "a:b", ("a", "b"), ("1",), (1,), (True,), ident]
    values += [
        str(ident),
        b"1",
        b"\xff",
        (b"1",),
        ["1"],
        {"1": 1},
        {1: 1},
        Decimal(1),
        Token("a"),
        Token("b"),
    ]
    for _ in range(2):
        for value in values:
            assert await echo(value) == repr((value, False))
            assert await echo(value, flag=True) == repr((value, True))
    for value in (object(), SecretStr("a"), [SecretBytes(b"a")], Credentials(key=SecretStr("a"))):
        with pytest.raises(TypeError, match="cannot be part of a cache key"):
            await echo(value)


async def test_a_value_that_can_be_changed_is_given_to_each_caller_anew(store: Store):
    class Basket(BaseModel):
        items: list[str]

    @cached("basket", revalidate=60)
    async def basket() -> Basket:
        return Basket(items=["lamp"])

    for answer in await asyncio.gather(basket(), basket()):
        answer.items.append("stolen")
    assert (await basket()).items == ["lamp"]


async def test_a_value_that_cannot_be_changed_is_shared(store: Store, source: Source):
    reading = source.cached(local=60)
    assert await reading("oslo") is await reading("oslo")


async def test_a_function_without_a_return_type_is_refused(store: Store):
    @cached("untyped", revalidate=60)
    async def untyped():
        return 1

    with pytest.raises(TypeError, match="names the type that it returns"):
        await untyped()


@pytest.mark.parametrize(
    "options", [{"revalidate": 0}, {"revalidate": 2, "expire": 1}, {"revalidate": 1, "negative": 0}]
)
def test_windows_in_the_wrong_order_are_refused(options: dict):
    with pytest.raises(ValueError, match="0 < revalidate <= expire"):
        cached("wrong", **options)


NOWHERE = entry.Keys("", "", ())


def test_copies_are_bounded_in_bytes_and_in_number(monkeypatch: pytest.MonkeyPatch):
    copies = local.Local(most_bytes=1000)
    for number in range(100):
        copies.put(number, local.Copy(entry.Entry(0, (), b"x" * 100), None, NOWHERE, (), shared=True))
    assert list(copies.copies) == list(range(90, 100))
    assert copies.bytes == 1000
    copies.put(0, local.Copy(entry.Entry(0, (), b"x" * 1001), None, NOWHERE, (), shared=True))
    assert (len(copies.copies), copies.bytes) == (10, 1000), "one that is too large is not kept instead"
    monkeypatch.setattr(local, "MOST_COPIES", 5)
    copies.put(0, local.Copy(entry.Entry(0, (), b""), None, NOWHERE, (), shared=True))
    assert len(copies.copies) == 5


def test_what_is_filled_together_gets_stale_apart():
    windows = entry.Windows(100, 100, 0, 5)
    ages = [time.time() - entry.born(windows) for _ in range(1000)]
    assert -0.1 < min(ages) < 0.5
    assert 4.5 < max(ages) < 5.1


async def test_what_happened_is_counted_and_told(store: Store, source: Source):
    reading = source.cached(local=60)
    before = status.counters["reading"].copy()
    seen, token = status.watch()
    await asyncio.gather(reading("oslo"), reading("oslo"))
    await reading("oslo")
    await cache.revalidate_tag("all")
    await reading("oslo")
    status.unwatch(token)
    told = status.header(seen).split(", ")
    assert [member.split("; ", 1)[1] for member in told[:2]] == ["fwd=miss; stored", "fwd=miss; collapsed"]
    assert told[2].startswith(("reading; hit; ttl=5", "reading; hit; ttl=60"))
    assert told[3].endswith("detail=refreshing")
    new = status.counters["reading"] - before
    assert new == {"miss": 1, "collapsed": 1, "hit": 1, "stale": 1}
