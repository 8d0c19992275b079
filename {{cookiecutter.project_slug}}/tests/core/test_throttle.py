"""Counting without the server: how often it is asked whether it is back."""

import asyncio

from app.core import throttle
from app.core.throttle import Limit, Throttle

FEW = Limit("few", 1000, 60)


async def test_a_dead_server_is_asked_less_and_less_often():
    counted = Throttle("redis://127.0.0.1:1/0")
    pauses = []
    for _ in range(5):
        counted.away_until = 0
        pauses.append(counted.pause)
        assert all(await asyncio.gather(*(counted.allows(FEW, "x") for _ in range(5))))
    assert pauses == [1, 2, 4, 8, 8], "those who wait together count once"
    await counted.close()


async def test_a_server_that_is_back_is_used_and_trusted_again(engines):
    counted = Throttle(f"{engines.cache}/0")
    counted.pause = throttle.LONGEST_AWAY_SECONDS
    assert await counted.allows(FEW, "y")
    assert (counted.pause, counted.away_until) == (throttle.AWAY_SECONDS, 0)
    await counted.close()
