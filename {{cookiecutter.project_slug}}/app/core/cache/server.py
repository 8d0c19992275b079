"""What the cache asks of Valkey or Redis: five commands, each one round trip, which raise Away."""

import math
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from app.core.cache.entry import Keys, Marks
from app.core.cache.link import Away, Link

if TYPE_CHECKING:
    from redis.asyncio import Redis

LEASE_SECONDS = 5.0
"""How long a fill has the right to itself; a process that died in one holds up the others no longer."""
MARK_SECONDS = 30 * 86400
FAILED = b"failed"

# Only the holder of the lease writes; it gets the marks as they are now.
_STORE = """
if redis.call('GET', KEYS[2]) == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  redis.call('DEL', KEYS[2])
end
if #KEYS < 3 then return {} end
return redis.call('MGET', unpack(KEYS, 3))
"""
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

    async def acquire(self, keys: Keys, token: str, unmarked: Iterable[str]) -> tuple[bool, Seen]:
        """Try to take the lease, give marks to tags that have none, and read again."""

        async def command(client: "Redis") -> list[Any]:
            async with client.pipeline(transaction=False) as pipe:
                pipe.set(keys.lease, token, nx=True, px=_ms(LEASE_SECONDS))
                for name in unmarked:
                    pipe.set(name, secrets.token_hex(8), nx=True, ex=MARK_SECONDS)
                pipe.mget(keys.entry, keys.lease, *keys.marks)
                return await pipe.execute()

        taken, *_, found = await self.link.run(command, replies=2)
        return bool(taken), _seen(found)

    async def store(self, keys: Keys, token: str, raw: bytes, seconds: float) -> Marks:
        """Write the entry and give the lease back, if it is still ours; the marks as they are now."""
        every = (keys.entry, keys.lease, *keys.marks)
        marks = await self.link.run(
            lambda client: client.eval(_STORE, len(every), *every, token, raw, _ms(seconds))  # type: ignore[misc]
        )
        return tuple(marks)

    async def release(self, keys: Keys, token: str, pause: float = 0) -> None:
        """Give the lease back; with a pause, keep everybody from trying for so many seconds."""
        await self.link.run(lambda client: client.eval(_RELEASE, 1, keys.lease, token, _ms(pause)))  # type: ignore[misc]

    async def mark(self, names: Iterable[str]) -> None:
        """Change these marks; when the server is away, before it is used again."""
        self.pending.update((name, secrets.token_hex(8)) for name in names)
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
                    pipe.set(name, mark, ex=MARK_SECONDS)
                await pipe.execute()
            for name, mark in sent.items():
                if self.pending.get(name) == mark:
                    del self.pending[name]


def _seen(found: list[Any]) -> Seen:
    return Seen(found[0], found[1], tuple(found[2:]))


def _ms(seconds: float) -> int:
    return math.ceil(seconds * 1000)
