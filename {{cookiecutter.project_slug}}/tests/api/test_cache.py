"""/api/cache/tags/{tag}: for who is signed in, and no more often than their limit."""

from collections.abc import Awaitable, Callable

import pytest
from httpx2 import AsyncClient

from app.core import cache
from app.core.cache import cached
from app.core.cache.store import current
from app.core.throttle import Limit
from app.services import limits


@pytest.fixture
def number() -> Callable[[], Awaitable[int]]:
    """Cached: 1 until its tag expires, then 2."""
    calls = []

    @cached("guarded", revalidate=60, tags=["city:oslo"], audience="everyone")
    async def number() -> int:
        calls.append(1)
        return len(calls)

    return number


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_strangers_may_not_touch_the_cache(client: AsyncClient, number, method: str):
    assert await number() == 1
    answer = await client.request(method, "/api/cache/tags/city:oslo")
    assert answer.status_code == 401
    assert answer.headers["cache-control"] == "no-store"
    assert await number() == 1
    await cache.update_tag("city:oslo")
    assert await number() == 2, "what the handler would have done"


async def test_a_member_expires_a_tag(member: AsyncClient, number):
    assert await number() == 1
    assert (await member.delete("/api/cache/tags/city:oslo")).status_code == 204
    assert await number() == 2


async def test_a_member_has_a_tag_refreshed(member: AsyncClient, number):
    assert await number() == 1
    assert (await member.post("/api/cache/tags/city:oslo")).status_code == 204
    assert await number() == 1, "once more"
    for flight in [*current().flights.values()]:
        await flight
    assert await number() == 2


async def test_nobody_makes_us_ask_all_the_time(member: AsyncClient, number, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "COSTLY", Limit("costly", 1, 60))
    assert (await member.delete("/api/cache/tags/city:oslo")).status_code == 204
    assert await number() == 1
    for method in ("DELETE", "POST"):
        assert (await member.request(method, "/api/cache/tags/city:oslo")).status_code == 429
    assert await number() == 1
