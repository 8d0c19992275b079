"""Keys keep users, arguments and schemas apart; values are validated, and safe to share."""

import asyncio
from decimal import Decimal
from uuid import UUID

import pytest
from packages.saaskit.cache.support import Reading, Source
from pydantic import BaseModel, Field, SecretBytes, SecretStr
from redis.asyncio import Redis
from saaskit.cache import cached, update_tag, vary_by_user
from saaskit.cache.redis_backend import EntryKeys
from saaskit.cache.store import Entry, Memory, MemoryEntry, Store


@pytest.mark.requirement("PROXY-11")
async def test_a_user_never_gets_the_value_of_another(store: Store, source: Source):
    """Neither from the cache nor by waiting for the same call, unless the function declares it."""
    own, team, shared = source.cached(), source.cached(audience="tenant"), source.cached(audience="everyone")

    async def read_as(user: str, tenant: str, reading) -> Reading:
        vary_by_user(user, tenant)
        return await reading("oslo")

    users = [(user, tenant) for tenant in ("a", "b") for user in ("", "1", "2")]
    for reading, calls in ((own, 6), (team, 2), (shared, 1)):
        source.calls = 0
        await update_tag("all")
        for _ in range(2):
            await asyncio.gather(*(asyncio.create_task(read_as(*user, reading)) for user in users))
        assert source.calls == calls


async def test_a_value_for_everyone_contains_nothing_of_the_first_caller(store: Store):
    @cached("private", revalidate=60)
    async def private(log: tuple[str, ...] = ()) -> str:
        return f"call {next(calls)}"

    @cached("public", revalidate=60, audience="everyone")
    async def public() -> str:
        return f"of {await private()}"

    calls = iter(range(10))
    vary_by_user("alice")
    assert await private() == "call 0"
    assert await public() == "of call 1", "not the value that is cached for alice"
    vary_by_user("bob")
    assert await public() == "of call 1"
    assert await private() == "call 2"
    vary_by_user("alice")
    assert await private() == "call 0"


async def test_audience_tenant_needs_a_tenant(store: Store, source: Source):
    reading = source.cached(audience="tenant")
    vary_by_user("alice")
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


async def test_arguments_that_only_look_equal_are_different_keys(store: Store):
    @cached("echo", revalidate=60)
    async def echo(value: object = None, *, flag: bool = False) -> str:
        return repr((value, flag))

    number = UUID(int=1)
    values = [1, True, "1", 1.0, 0.0, -0.0, None, "null", "a:b", ("a", "b"), ("1",), (1,), (True,), number]
    values += [str(number), b"1", b"\xff", (b"1",), ["1"], {"1": 1}, {1: 1}, Decimal(1), Token("a"), Token("b")]
    for _ in range(2):
        for value in values:
            assert await echo(value) == repr((value, False))
            assert await echo(value, flag=True) == repr((value, True))


@pytest.mark.parametrize(
    "value",
    [object(), SecretStr("a"), [SecretBytes(b"a")], Credentials(key=SecretStr("a"))],
    ids=["object", "secret", "secret in a list", "secret in a model"],
)
async def test_secrets_and_values_without_json_are_refused_as_arguments(store: Store, value: object):
    @cached("refused", revalidate=60)
    async def refused(value: object) -> str:
        return "called"

    with pytest.raises(TypeError, match="cannot be part of a cache key"):
        await refused(value)


async def test_each_caller_gets_its_own_copy_of_a_mutable_value(store: Store):
    class Basket(BaseModel):
        items: list[str]

    @cached("basket", revalidate=60)
    async def basket() -> Basket:
        return Basket(items=["lamp"])

    for copy in await asyncio.gather(basket(), basket()):
        copy.items.append("stolen")
    assert (await basket()).items == ["lamp"]


async def test_an_immutable_value_is_shared(store: Store, source: Source):
    reading = source.cached(local=60)
    assert await reading("oslo") is await reading("oslo")


async def test_a_function_without_a_return_annotation_is_refused(store: Store):
    @cached("untyped", revalidate=60)
    async def untyped():
        return 1

    with pytest.raises(TypeError, match="needs a return annotation"):
        await untyped()


@pytest.mark.parametrize("junk", [b"", b"\n", b"value\n{}", b"value 1e9 - -\n{", b"\x80\x04pickle"])
async def test_bytes_that_the_cache_did_not_write_are_a_miss(store: Store, redis: Redis, source: Source, junk: bytes):
    reading = source.cached(tags=())
    await reading("oslo")
    (key,) = await redis.keys("cache:reading:*")
    await redis.set(key, junk)
    assert (await reading("oslo")).place == "oslo"
    assert source.calls == 2


def _memory_entry(size: int) -> MemoryEntry:
    return MemoryEntry(Entry(0, (), b"x" * size), None, EntryKeys("", "", (), ()), shared=True)


def test_memory_is_bounded_in_bytes():
    memory = Memory(max_bytes=1000)
    for number in range(100):
        memory.put(number, _memory_entry(100))
    assert list(memory.entries) == list(range(90, 100))
    assert memory.bytes == 1000
    memory.put(0, _memory_entry(1001))
    assert (len(memory.entries), memory.bytes) == (10, 1000), "an entry that is too large evicts nothing"


def test_memory_is_bounded_in_entries():
    memory = Memory(max_entries=5)
    for number in range(10):
        memory.put(number, _memory_entry(0))
    assert list(memory.entries) == list(range(5, 10))
