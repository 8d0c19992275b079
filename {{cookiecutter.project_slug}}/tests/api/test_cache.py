"""/api/cache/tags/{tag}: guarded, so 401 for everybody until there are accounts."""

import pytest
from httpx2 import AsyncClient

from app.core import cache
from app.core.cache import cached


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_nobody_may_touch_the_cache(client: AsyncClient, method: str):
    calls = []

    @cached("guarded", revalidate=60, tags=["city:oslo"])
    async def number() -> int:
        calls.append(1)
        return len(calls)

    await number()
    answer = await client.request(method, "/api/cache/tags/city:oslo")
    assert answer.status_code == 401
    assert answer.headers["cache-control"] == "no-store"
    assert await number() == 1
    await cache.update_tag("city:oslo")
    assert await number() == 2, "what the handler would have done"
