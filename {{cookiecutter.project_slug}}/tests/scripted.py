"""An upstream that does what a script says, on a real socket: late, in drips, broken, lying or huge."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Asked:
    """A request as it came; header names in lower case."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


Act = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Scripted:
    """What the server does for each path (without its query), and what it was asked."""

    url: str = ""
    acts: dict[str, Act] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0

    def __setitem__(self, path: str, act: Act) -> None:
        self.acts[path] = act

    def paths(self) -> list[str]:
        return [asked.target for asked in self.asked]


def head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def answer(body: bytes | str = b"{}", status: int = 200, **headers: str) -> Act:
    """A whole answer. Underscores in header names stand for hyphens."""
    body = body.encode() if isinstance(body, str) else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named = {"content-type": "application/json", "content-length": str(len(body))} | named

    async def act(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(head(status, named) + (b"" if asked.method == "HEAD" else body))

    return act


def zipped(body: bytes) -> Act:
    return answer(gzip.compress(body), content_encoding="gzip")


def late(seconds: float, act: Act) -> Act:
    async def wait(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await act(asked, writer)

    return wait


def raw(*parts: bytes | float, end: bool = True) -> Act:
    """Bytes as they are, with pauses of so many seconds between; then the end of the connection."""

    async def act(asked: Asked, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            if isinstance(part, bytes):
                writer.write(part)
                await writer.drain()
            else:
                await asyncio.sleep(part)
        if end:
            writer.close()

    return act


def reset() -> Act:
    async def act(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    return act


def flood(size: int, **headers: str) -> Act:
    """So many bytes, chunked."""

    async def act(asked: Asked, writer: asyncio.StreamWriter) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        writer.write(
            head(200, {"content-type": "application/octet-stream", "transfer-encoding": "chunked"} | named)
        )
        block = b"x" * 65536
        for _ in range(size // len(block)):
            writer.write(b"%x\r\n%b\r\n" % (len(block), block))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    return act


def in_turn(*acts: Act) -> Act:
    """One after the other, the last for ever."""
    left = list(acts)

    async def act(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(asked, writer)

    return act


@asynccontextmanager
async def scripted() -> AsyncIterator[Scripted]:
    """A server on a free port of 127.0.0.1; paths without a script are 404."""
    script = Scripted()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script.connections += 1
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            while line := await reader.readline():
                method, target, _ = line.decode("latin-1").split(" ", 2)
                headers = []
                while line := (await reader.readline()).strip():
                    name, _, value = line.decode("latin-1").partition(":")
                    headers.append((name.lower(), value.strip()))
                length = int(dict(headers).get("content-length", 0))
                asked = Asked(method, target, headers, await reader.readexactly(length))
                script.asked.append(asked)
                act = script.acts.get(target.partition("?")[0], answer("{}", 404))
                work = asyncio.create_task(_until_gone(act, asked, writer, reader))
                await work
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    async def _until_gone(
        act: Act, asked: Asked, writer: asyncio.StreamWriter, reader: asyncio.StreamReader
    ) -> None:
        job, gone = asyncio.ensure_future(act(asked, writer)), asyncio.create_task(_eof(reader))
        await asyncio.wait((job, gone), return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not job.done():
            job.cancel()
            raise ConnectionResetError
        job.result()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    script.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield script
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _eof(reader: asyncio.StreamReader) -> None:
    """Return when the client has closed the connection."""
    while not reader.at_eof():  # noqa: ASYNC110 (a stream has no event for it, and reading would take bytes)
        await asyncio.sleep(0.01)
