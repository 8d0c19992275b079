"""The entries on Valkey or Redis: one round trip for each command, bounded in time, with an outage switch."""

import asyncio
import math
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar
from urllib.parse import quote

import structlog

from saaskit.settings import redis_scheme

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = structlog.get_logger(__name__)
T = TypeVar("T")

TagVersions = tuple[bytes | None, ...]
"""Two for each tag: its update version and its revalidate version. None: the server has none."""
TIMEOUT_SECONDS = 0.25
SLOW = 0.16
"""A reply that takes longer than this share of the timeout (40 ms) is used, but makes the server suspect."""
SUSPECT_SECONDS = 0.03
"""While the server is suspect, callers wait so long for the probe before they go on without the server."""
PROBE_SECONDS = 1.0
PROBE_PINGS = 4
MAX_CONNECTIONS = 32

LEASE_SECONDS = 5.0
"""If a process dies while it computes a value, the others wait this long. A live one renews its lease."""
MAX_LEASE_SECONDS = 60.0
"""A lease is not renewed for longer: a call that never returns must not block the others forever."""
TAG_VERSION_SECONDS = 30 * 86400
MAX_PENDING = 10_000
FAILED = b"failed"
"""Stands in the place of a lease after a failed refresh: no process tries again until it expires."""

# Only the holder of the lease may write. Returns whether it did, and the current tag versions.
_STORE = """
local held = redis.call('GET', KEYS[2]) == ARGV[1] and 1 or 0
if held == 1 then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  redis.call('DEL', KEYS[2])
end
if #KEYS < 3 then return {held} end
return {held, unpack(redis.call('MGET', unpack(KEYS, 3)))}
"""
_RENEW = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2])"
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
return redis.call('SET', KEYS[1], 'failed', 'PX', ARGV[2])
"""


class EntryKeys(NamedTuple):
    """Names on the server: the entry, the lease on computing it, and two versions for each tag in `tags`."""

    entry: str
    lease: str
    tags: tuple[str, ...]
    tag_versions: tuple[str, ...]


def tag_version_keys(tag: str) -> tuple[str, str]:
    """Return the names of a tag's versions: `update_tag` changes the first, `revalidate_tag` the second."""
    name = f"cache:tag:{quote(tag, safe='')}"
    return f"{name}:update", f"{name}:revalidate"


class CacheUnavailable(Exception):
    """The server does not reply in time. It never reaches the callers of a cached function."""


class Connection:
    """A connection pool to one server, with an outage switch. It belongs to one event loop.

    available    Commands go to the server.
    suspect      A reply was slow. A probe runs at once; commands wait for its result, but not for long.
    unavailable  A command or the probe failed. Commands raise CacheUnavailable; a probe runs every second.

    `on_reconnect` runs before the server is used again. `timeout` is for one reply, in seconds.
    """

    def __init__(self, url: str, on_reconnect: Callable[["Redis"], Awaitable[None]], timeout: float) -> None:
        self.state: Literal["available", "suspect", "unavailable"] = "available" if url else "unavailable"
        self._url, self._on_reconnect = redis_scheme(url), on_reconnect
        self._timeout, self._slow = timeout, SLOW * timeout
        self._client: Redis | None = None
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._probe_task: asyncio.Task[None] | None = None
        self._next_probe = 0.0

    async def run(self, command: Callable[["Redis"], Awaitable[T]], *, pipeline: bool = False) -> T:
        """Return the command's result; raises CacheUnavailable without one in time.

        The client's timeout is for each reply; with `pipeline`, all replies together must arrive in time.
        """
        await self._require_available()
        client = self._connect()
        async with self._slots:
            await self._require_available()  # it may have failed while this command was queued
            started = time.monotonic()
            try:
                if pipeline:
                    async with asyncio.timeout(self._timeout):
                        result = await command(client)
                else:
                    result = await command(client)
            except Exception as error:
                if not _is_outage(error):
                    raise
                self._set_unavailable(error)
                raise CacheUnavailable from error
            if time.monotonic() - started > self._slow and self.state == "available":
                self.state, self._next_probe = "suspect", 0.0
                self._probe_if_due()
            return result

    async def aclose(self) -> None:
        """Stop the probe and close the connections."""
        if self._probe_task:
            self._probe_task.cancel()
        if self._client:
            await self._client.aclose()

    async def _require_available(self) -> None:
        if self.state == "available":
            return
        self._probe_if_due()
        if self._probe_task and self.state == "suspect":
            await asyncio.wait((self._probe_task,), timeout=SUSPECT_SECONDS)
        if self.state != "available":
            raise CacheUnavailable

    def _connect(self) -> "Redis":
        if self._client is None:
            # The import takes 0.15 s; no response waits for it before the first cached call.
            from redis.asyncio import Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff

            self._client = Redis.from_url(
                self._url,
                protocol=2,  # connects in fewer round trips
                driver_info=None,
                max_connections=MAX_CONNECTIONS + 1,  # one for the probe
                socket_timeout=self._timeout,
                socket_connect_timeout=self._timeout,
                retry=Retry(NoBackoff(), 0),
            )
        return self._client

    def _set_unavailable(self, error: Exception) -> None:
        if self.state != "unavailable":
            log.warning("cache server unavailable", error=type(error).__name__)
        self.state, self._next_probe = "unavailable", time.monotonic() + PROBE_SECONDS

    def _probe_if_due(self) -> None:
        running = self._probe_task and not self._probe_task.done()
        if self._url and not running and time.monotonic() >= self._next_probe:
            self._next_probe = time.monotonic() + PROBE_SECONDS
            self._probe_task = asyncio.create_task(self._probe(self._connect()))

    async def _probe(self, client: "Redis") -> None:
        try:
            async with asyncio.timeout(4 * self._timeout):
                # One quick reply is enough: the first PING may have to connect, and on a busy machine some
                # replies are late although the server is not.
                for _ in range(PROBE_PINGS):
                    started = time.monotonic()
                    await client.ping()  # type: ignore[misc]
                    if time.monotonic() - started <= self._slow:
                        break
                else:
                    raise TimeoutError
                await self._on_reconnect(client)
        except Exception as error:
            if not _is_outage(error):
                raise
            self._set_unavailable(error)
        else:
            if self.state == "unavailable":
                log.info("cache server available again")
            self.state = "available"


def _is_outage(error: Exception) -> bool:
    from redis.exceptions import RedisError

    return isinstance(error, RedisError | OSError | TimeoutError)


class Stored(NamedTuple):
    """The server's state for one key."""

    entry: bytes | None
    lease: bytes | None
    tag_versions: TagVersions


class RedisBackend:
    """The cache's commands. Those that read, store or lease raise CacheUnavailable.

    `pending` holds new tag versions that could not be sent. They are sent before the server is used again.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self.pending: dict[str, str] = {}
        self.connection = Connection(url, self._send_pending, timeout)

    async def read(self, keys: EntryKeys) -> Stored:
        """Return entry, lease and tag versions."""
        names = (keys.entry, keys.lease, *keys.tag_versions)
        found: list[Any] = await self.connection.run(lambda client: client.mget(names))
        return Stored(found[0], found[1], tuple(found[2:]))

    async def acquire(self, keys: EntryKeys, token: str) -> tuple[bool, Stored]:
        """Try to take the lease. Creates missing tag versions, and reads again afterwards."""

        async def command(client: "Redis") -> list[Any]:
            async with client.pipeline(transaction=False) as pipe:
                pipe.set(keys.lease, token, nx=True, px=_milliseconds(LEASE_SECONDS))
                for name in keys.tag_versions:
                    pipe.set(name, secrets.token_hex(8), nx=True, ex=TAG_VERSION_SECONDS)
                    pipe.expire(name, TAG_VERSION_SECONDS)
                pipe.mget(keys.entry, keys.lease, *keys.tag_versions)
                return await pipe.execute()

        acquired, *_, (entry, lease, *versions) = await self.connection.run(command, pipeline=True)
        return bool(acquired), Stored(entry, lease, tuple(versions))

    @asynccontextmanager
    async def renewed(self, keys: EntryKeys, token: str) -> AsyncIterator[None]:
        """Renew the lease while the block runs."""

        async def renew() -> None:
            for _ in range(round(3 * MAX_LEASE_SECONDS / LEASE_SECONDS)):
                await asyncio.sleep(LEASE_SECONDS / 3)
                with suppress(CacheUnavailable):
                    await self._eval(_RENEW, (keys.lease,), token, _milliseconds(LEASE_SECONDS))

        renewal = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewal.cancel()

    async def store(
        self, keys: EntryKeys, token: str, raw: bytes, seconds: float
    ) -> tuple[bool, TagVersions]:
        """Write the entry and release the lease. Returns whether it was still held, and the tag versions."""
        names = (keys.entry, keys.lease, *keys.tag_versions)
        held, *versions = await self._eval(_STORE, names, token, raw, _milliseconds(seconds))
        return bool(held), tuple(versions)

    async def release(self, keys: EntryKeys, token: str, pause: float = 0) -> None:
        """Release the lease. With a pause, no process can acquire it for so many seconds."""
        await self._eval(_RELEASE, (keys.lease,), token, _milliseconds(pause))

    async def replace_tag_version(self, name: str) -> None:
        """Set a new version; if the server is unavailable, later. Only the last MAX_PENDING are kept."""
        self.pending[name] = secrets.token_hex(8)
        if len(self.pending) > MAX_PENDING:
            del self.pending[next(iter(self.pending))]
        with suppress(CacheUnavailable):
            await self.connection.run(self._send_pending, pipeline=True)

    async def is_available(self) -> bool:
        """Return whether the server replies to a PING in time."""
        try:
            await self.connection.run(lambda client: client.ping())  # type: ignore[misc]
        except CacheUnavailable:
            return False
        return True

    async def _eval(self, script: str, names: tuple[str, ...], *arguments: str | bytes | int) -> Any:
        return await self.connection.run(lambda client: client.eval(script, len(names), *names, *arguments))  # type: ignore[misc]

    async def _send_pending(self, client: "Redis") -> None:
        while batch := dict(list(self.pending.items())[:500]):
            async with client.pipeline(transaction=False) as pipe:
                for name, version in batch.items():
                    # A version that does not exist needs no replacement: no entry can match it.
                    pipe.set(name, version, ex=TAG_VERSION_SECONDS, xx=True)
                await pipe.execute()
            for name, version in batch.items():
                if self.pending.get(name) == version:
                    del self.pending[name]


def _milliseconds(seconds: float) -> int:
    return math.ceil(seconds * 1000)
