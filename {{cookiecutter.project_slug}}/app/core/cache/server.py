"""What the cache asks of Valkey or Redis: six commands, each one round trip, which raise Away."""

import asyncio
import math
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from app.core.cache.entry import Keys, Marks
from app.core.cache.link import Away, Link

if TYPE_CHECKING:
    from redis.asyncio import Redis

LEASE_SECONDS = 5.0
"""How long a process that died in a fill holds up the others; one that lives renews its lease."""
FILL_SECONDS = 60.0
"""How often a lease is renewed, in all: a call that never returns holds up the others no longer."""
MARK_SECONDS = 30 * 86400
MOST_PENDING = 10_000
FAILED = b"failed"

# Only the holder of the lease writes; it gets the marks as they are now.
_STORE = """
local ours = redis.call('GET', KEYS[2]) == ARGV[1] and 1 or 0
if ours == 1 then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  redis.call('DEL', KEYS[2])
end
if #KEYS < 3 then return {ours} end
return {ours, unpack(redis.call('MGET', unpack(KEYS, 3)))}
"""
_RENEW = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2])"
# A refresh that failed leaves a note in place of its lease: nobody tries again until that is gone.
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
return redis.call('SET', KEYS[1], 'failed', 'PX', ARGV[2])
"""


class Seen(NamedTuple):
    """What one read found."""

    entry: bytes | None
    lease: bytes | None
    marks: Marks


def mark_keys(tag: str) -> tuple[str, str]:
    """Names of a tag's two marks: what it carried is gone, what it carried is stale."""
    name = f"cache:tag:{quote(tag, safe='')}"
    return f"{name}:gone", f"{name}:stale"


class Server:
    """The commands. `pending` holds the marks that could not be changed while the server was away."""

    def __init__(self, url: str) -> None:
        self.pending: dict[str, str] = {}
        self.link = Link(url, self._flush)

    async def read(self, keys: Keys) -> Seen:
        """One MGET: entry, lease and marks."""
        return _seen(await self.link.run(lambda client: client.mget(keys.entry, keys.lease, *keys.marks)))

    async def acquire(self, keys: Keys, token: str) -> tuple[bool, Seen]:
        """Try to take the lease, give marks to tags that have none, keep the others, and read again."""

        async def command(client: "Redis") -> list[Any]:
            async with client.pipeline(transaction=False) as pipe:
                pipe.set(keys.lease, token, nx=True, px=_ms(LEASE_SECONDS))
                for name in keys.marks:
                    pipe.set(name, secrets.token_hex(8), nx=True, ex=MARK_SECONDS)
                    pipe.expire(name, MARK_SECONDS)
                pipe.mget(keys.entry, keys.lease, *keys.marks)
                return await pipe.execute()

        taken, *_, found = await self.link.run(command, replies=2)
        return bool(taken), _seen(found)

    @asynccontextmanager
    async def holding(self, keys: Keys, token: str) -> AsyncIterator[None]:
        """Renew the lease while the block runs."""

        async def renew() -> None:
            for _ in range(round(3 * FILL_SECONDS / LEASE_SECONDS)):
                await asyncio.sleep(LEASE_SECONDS / 3)
                with suppress(Away):
                    await self.link.run(
                        lambda client: client.eval(_RENEW, 1, keys.lease, token, _ms(LEASE_SECONDS))  # type: ignore[misc]
                    )

        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewing.cancel()

    async def store(self, keys: Keys, token: str, raw: bytes, seconds: float) -> tuple[bool, Marks]:
        """Write the entry and give the lease back, if it is still ours; the marks as they are now."""
        every = (keys.entry, keys.lease, *keys.marks)
        ours, *marks = await self.link.run(
            lambda client: client.eval(_STORE, len(every), *every, token, raw, _ms(seconds))  # type: ignore[misc]
        )
        return bool(ours), tuple(marks)

    async def release(self, keys: Keys, token: str, pause: float = 0) -> None:
        """Give the lease back; with a pause, keep everybody from trying for so many seconds."""
        await self.link.run(lambda client: client.eval(_RELEASE, 1, keys.lease, token, _ms(pause)))  # type: ignore[misc]

    async def mark(self, names: Iterable[str]) -> None:
        """Change these marks; when the server is away, before it is used again, the last MOST_PENDING."""
        for name in names:
            self.pending[name] = secrets.token_hex(8)
            if len(self.pending) > MOST_PENDING:
                del self.pending[next(iter(self.pending))]
        await self.link.run(self._flush, replies=2)

    async def answers(self) -> bool:
        """Whether it answers a PING now."""
        try:
            await self.link.run(lambda client: client.ping())  # type: ignore[misc]
        except Away:
            return False
        return True

    async def _flush(self, client: "Redis") -> None:
        while sent := dict(list(self.pending.items())[:500]):
            async with client.pipeline(transaction=False) as pipe:
                for name, mark in sent.items():
                    # A mark that is not there needs no change: what counts on it is gone already.
                    pipe.set(name, mark, ex=MARK_SECONDS, xx=True)
                await pipe.execute()
            for name, mark in sent.items():
                if self.pending.get(name) == mark:
                    del self.pending[name]


def _seen(found: list[Any]) -> Seen:
    return Seen(found[0], found[1], tuple(found[2:]))


def _ms(seconds: float) -> int:
    return math.ceil(seconds * 1000)
