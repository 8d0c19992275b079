"""/api/cache/tags/{tag}: for signed-in users, with a rate limit."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from httpx2 import AsyncClient
from saaskit import cache
from saaskit.cache import cached
from saaskit.ratelimit import Limit

from app.accounts.models import User
from app.state import State
from tests.factories import use_up


@pytest.fixture
def count() -> Callable[[], Awaitable[int]]:
    """A cached function that returns the number of its calls."""
    calls: list[int] = []

    @cached("guarded", revalidate=60, tags=["city:oslo"], audience="everyone")
    async def count() -> int:
        calls.append(1)
        return len(calls)

    return count


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_anonymous_clients_cannot_change_the_cache(client: AsyncClient, count, method: str):
    assert await count() == 1
    response = await client.request(method, "/api/cache/tags/city:oslo")
    assert response.status_code == 401
    assert response.headers["cache-control"] == "no-store"
    assert await count() == 1
    await cache.update_tag("city:oslo")
    assert await count() == 2, "what the handler would have done"


async def test_expire_a_tag(signed_in_client: AsyncClient, count):
    assert await count() == 1
    assert (await signed_in_client.delete("/api/cache/tags/city:oslo")).status_code == 204
    assert await count() == 2


async def test_revalidate_a_tag(signed_in_client: AsyncClient, count):
    assert await count() == 1
    assert (await signed_in_client.post("/api/cache/tags/city:oslo")).status_code == 204
    assert await count() == 1, "served stale once"
    async with asyncio.timeout(10):  # until the refresh in the background is done
        while await count() != 2:  # noqa: ASYNC110 (the refresh signals nothing)
            await asyncio.sleep(0.01)


async def test_a_user_can_change_sixty_tags_a_minute(
    signed_in_client: AsyncClient, user: User, state: State, count
):
    await use_up(state, Limit("cache", max_requests=60, seconds=60), str(user.id), leave=1)
    assert (await signed_in_client.delete("/api/cache/tags/city:oslo")).status_code == 204
    assert await count() == 1
    for method in ("DELETE", "POST"):
        assert (await signed_in_client.request(method, "/api/cache/tags/city:oslo")).status_code == 429
    assert await count() == 1
