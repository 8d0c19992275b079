"""Connections that send nothing or little, and worker processes that are killed, with the Dockerfile's command."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator

import psutil
import pytest
from packages.saaskit.web.conftest import Server, StartServer
from packages.saaskit.web.support import request

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="granian runs one process on Windows")

HEALTH = request("/api/health", "Connection: close")
CONNECTIONS = 5000
FIRST_BYTES = {
    "nothing": b"",
    "half a request": b"GET /api/health HTTP/1.1\r\nHo",
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a header that drips": b"GET /api/health HTTP/1.1\r\nX-Drip: ",
}


async def get_health(port: int) -> float:
    """Return after how many seconds the health check responded on a new connection."""
    started = time.monotonic()
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEALTH)
        response = await reader.read()
        writer.close()
    assert response.startswith(b"HTTP/1.1 200 "), response
    return time.monotonic() - started


async def hold(port: int, kind: str) -> None:
    """Open a connection that never completes a request, and keep it until the server closes it."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(FIRST_BYTES[kind])
        try:
            while kind == "a header that drips" and not reader.at_eof():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(1)
            await reader.read()
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def flood(port: int) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(hold(port, list(FIRST_BYTES)[i % len(FIRST_BYTES)])) for i in range(CONNECTIONS)]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.requirement("AVAIL-1")
async def test_connections_that_send_no_request_do_not_delay_others(start_server: StartServer) -> None:
    _allow_open_files(CONNECTIONS + 1000)
    with start_server(workers=2) as server:
        async with flood(server.port) as tasks:
            times = []
            while len(times) < 60:
                times.append(await get_health(server.port))
                await asyncio.sleep(0.05)
            assert sorted(times)[int(len(times) * 0.95)] < 1, sorted(times)[-5:]
            # None of them stays: after the 5 seconds of the Dockerfile, the server closes each.
            _, open_ = await asyncio.wait(tasks, timeout=30)
            assert not open_


def _allow_open_files(count: int) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"this machine allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


@pytest.mark.requirement("AVAIL-1")
async def test_a_killed_worker_process_is_replaced_and_the_other_one_responds(start_server: StartServer) -> None:
    with start_server(workers=2) as server:
        await wait_for_started_workers(server, 2)
        victim = min(psutil.Process(server.pid).children(), key=lambda child: child.pid)
        victim.kill()
        await asyncio.to_thread(victim.wait, 10)
        await get_health(server.port)
        await wait_for_started_workers(server, 3)
        await get_health(server.port)


async def wait_for_started_workers(server: Server, count: int) -> None:
    async with asyncio.timeout(30):
        while server.log.read_text(encoding="utf-8").count("Started worker-") < count:
            await asyncio.sleep(0.05)
