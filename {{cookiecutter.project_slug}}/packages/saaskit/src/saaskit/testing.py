"""Tools for a product's tests.

`upstream_server` is an HTTP server on a real socket that takes the place of an external API. It responds as
the test says: late, incompletely, maliciously or with too much. Paths without a responder are 404.

    async with upstream_server() as server:  # UPSTREAMS__<NAME>__BASE_URL is server.url
        server["/v1/forecast"] = sequence(reset(), delayed(2, respond('{"temperature": 21}')))
        ...
        assert server.targets() == ["/v1/forecast?city=Oslo"] * 2
"""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from saaskit import security
from saaskit.settings import UpstreamSettings
from saaskit.upstream.client import declared

__all__ = [
    "ReceivedRequest",
    "UpstreamServer",
    "cheap_password_hashes",
    "closed_upstreams",
    "delayed",
    "flood",
    "gzipped",
    "raw",
    "reset",
    "respond",
    "response_head",
    "sequence",
    "upstream_server",
]


@contextmanager
def cheap_password_hashes() -> Iterator[None]:
    """Hash passwords in less than a millisecond during the block. Everything else is unchanged."""
    memory_kib = security.MEMORY_KIB
    try:
        _use_memory(64)
        yield
    finally:
        _use_memory(memory_kib)


def _use_memory(kib: int) -> None:
    security.MEMORY_KIB = kib
    security.hasher.cache_clear()
    security._dummy_hash.cache_clear()


def closed_upstreams() -> dict[str, UpstreamSettings]:
    """Return `Settings.upstreams` under which every declared upstream refuses connections."""
    return {name: UpstreamSettings(base_url="http://127.0.0.1:1") for name in declared}


@dataclass
class ReceivedRequest:
    """A request as it arrived, with header names in lower case."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    def header(self, name: str) -> list[str]:
        """Return the values of a header."""
        return [value for key, value in self.headers if key == name]


Responder = Callable[[ReceivedRequest, asyncio.StreamWriter], Awaitable[None]]
"""Writes the response to a request. It is cancelled when the client disconnects."""


@dataclass
class UpstreamServer:
    """The responder of each path (without its query), and the requests so far."""

    url: str = ""
    responders: dict[str, Responder] = field(default_factory=dict)
    requests: list[ReceivedRequest] = field(default_factory=list)
    connections: int = 0

    def __setitem__(self, path: str, responder: Responder) -> None:
        self.responders[path] = responder

    def targets(self) -> list[str]:
        """Return path and query of each request."""
        return [request.target for request in self.requests]


def respond(body: bytes | str = b"{}", status: int = 200, **headers: str) -> Responder:
    """Send a complete response. Underscores in header names stand for hyphens."""
    content = body.encode() if isinstance(body, str) else body
    all_headers = {"content-type": "application/json", "content-length": str(len(content))} | _named(headers)

    async def responder(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(response_head(status, all_headers) + (b"" if request.method == "HEAD" else content))

    return responder


def gzipped(body: bytes) -> Responder:
    """Send the body with `Content-Encoding: gzip`."""
    return respond(gzip.compress(body), content_encoding="gzip")


def delayed(seconds: float, responder: Responder) -> Responder:
    """Wait before the response."""

    async def wait(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await responder(request, writer)

    return wait


def raw(*parts: bytes | float, close: bool = True) -> Responder:
    """Send bytes unchanged, with numbers as pauses in seconds; then close the connection."""

    async def responder(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            if isinstance(part, bytes):
                writer.write(part)
                await writer.drain()
            else:
                await asyncio.sleep(part)
        if close:
            writer.close()

    return responder


def reset() -> Responder:
    """Reset the connection instead of a response."""

    async def responder(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    return responder


def flood(size: int, **headers: str) -> Responder:
    """Send `size` bytes, chunked."""
    chunked = {"content-type": "application/octet-stream", "transfer-encoding": "chunked"} | _named(headers)

    async def responder(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(response_head(200, chunked))
        block = b"x" * 65536
        for _ in range(size // len(block)):
            writer.write(b"%x\r\n%b\r\n" % (len(block), block))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    return responder


def sequence(*responders: Responder) -> Responder:
    """Use the responders one after the other, and the last one for all further requests."""
    left = list(responders)

    async def responder(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(request, writer)

    return responder


def response_head(status: int, headers: dict[str, str]) -> bytes:
    """Return status line and headers, for `raw` and for responders of your own."""
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


@asynccontextmanager
async def upstream_server() -> AsyncIterator[UpstreamServer]:
    """Serve on a free port of 127.0.0.1."""
    script = UpstreamServer()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script.connections += 1
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            while line := await reader.readline():
                request = await _read_request(line, reader)
                script.requests.append(request)
                responder = script.responders.get(request.target.partition("?")[0], respond("{}", 404))
                await _until_disconnect(responder(request, writer), reader)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    script.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield script
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read_request(request_line: bytes, reader: asyncio.StreamReader) -> ReceivedRequest:
    method, target, _ = request_line.decode("latin-1").split(" ", 2)
    headers = []
    while line := (await reader.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers.append((name.lower(), value.strip()))
    length = int(dict(headers).get("content-length", 0))
    return ReceivedRequest(method, target, headers, await reader.readexactly(length))


async def _until_disconnect(responding: Awaitable[None], reader: asyncio.StreamReader) -> None:
    task, disconnected = asyncio.ensure_future(responding), asyncio.create_task(_wait_for_eof(reader))
    try:
        await asyncio.wait((task, disconnected), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ConnectionResetError
        task.result()
    finally:
        disconnected.cancel()
        task.cancel()


async def _wait_for_eof(reader: asyncio.StreamReader) -> None:
    while not reader.at_eof():  # noqa: ASYNC110 (a stream has no event for it, and reading would take bytes)
        await asyncio.sleep(0.01)


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
