"""`Upstream.forward`, through the web server that runs in production."""

import asyncio
import gzip
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx2
import psutil
import pytest
from devstack import free_port
from saaskit.testing import (
    UpstreamServer,
    delayed,
    flood,
    raw,
    reset,
    respond,
    response_head,
    upstream_server,
)

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
TESTS = Path(__file__).parents[3]
CHUNKED = {"transfer-encoding": "chunked"}
EVENT_STREAM = {"content-type": "text/event-stream"} | CHUNKED


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[UpstreamServer]:
    async with upstream_server() as server:
        yield server


@pytest.fixture(scope="module")
async def proxy(server: UpstreamServer) -> AsyncIterator[tuple[str, psutil.Process]]:
    """Serve proxy_app.py with granian. Return its URL and its worker process."""
    port = free_port()
    app = "packages.saaskit.upstream.proxy_app:app"
    program = f"-m granian --interface asgi --host 127.0.0.1 --port {port} {app}"
    environment = {"UPSTREAM_URL": server.url, "ENVIRONMENT": "test"}
    process = await asyncio.create_subprocess_exec(sys.executable, *program.split(), cwd=TESTS, env=environment)
    url = f"http://127.0.0.1:{port}"
    async with asyncio.timeout(60), httpx2.AsyncClient() as client:
        while True:
            try:
                await client.get(url)
                break
            except httpx2.TransportError:
                await asyncio.sleep(0.05)
    worker = max(psutil.Process(process.pid).children(recursive=True), key=lambda each: each.memory_info().rss)
    yield url, worker
    process.terminate()
    await process.wait()


@pytest.fixture
async def client(proxy: tuple[str, psutil.Process], server: UpstreamServer) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the proxy, whose breaker is closed and has counted enough successes to stay so."""
    server.responders.clear()
    server["/files/close-the-breaker"] = respond()
    async with httpx2.AsyncClient(base_url=proxy[0], timeout=20) as client:
        async with asyncio.timeout(10):
            while (await client.get("/example/files/close-the-breaker")).status_code != 200:
                await asyncio.sleep(0.1)
        for _ in range(30):
            await client.get("/example/files/close-the-breaker")
        server.requests.clear()
        yield client


@pytest.mark.requirement("PROXY-6")
@pytest.mark.requirement("PROXY-7")
async def test_only_listed_headers_cross(client: httpx2.AsyncClient, server: UpstreamServer):
    server["/files/a"] = respond(
        "{}",
        etag='"1"',
        vary="accept",
        x_page="2",
        set_cookie="a=b",
        server="nginx/1.2",
        connection="keep-alive, x-secret",
        x_secret="1",  # noqa: S106
        location="http://10.0.0.1/",
        cache_control="public, s-maxage=600",
        access_control_allow_origin="*",
    )
    hostile = {
        "cookie": "session=alice",
        "authorization": "Bearer alice",
        "proxy-authorization": "Basic x",
        "x-forwarded-for": "6.6.6.6",
        "x-forwarded-host": "evil.example",
        "forwarded": "host=evil.example",
        "x-original-url": "/admin",
        "connection": "accept-language",
        "accept-language": "no",
        "accept": "text/plain",
        "x-api-key": "mine",
        "x-request-id": "my-own-request",
        "te": "trailers",
        "origin": "https://evil.example",
        "referer": "https://evil.example/x",
        "user-agent": "evil/1.0",
    }
    response = await client.get("/example/files/a?q=%C3%B6&q=2&x=a%0d%0ab", headers=hostile)
    (request,) = server.requests
    assert request.target == "/files/a?q=%C3%B6&q=2&x=a%0D%0Ab"
    sent = dict(request.headers)
    assert set(sent) == {
        "host", "accept", "accept-encoding", "authorization", "user-agent", "x-request-id", "traceparent"
    }  # fmt: skip
    assert (sent["authorization"], sent["accept"]) == ("Bearer s3cret", "text/plain")
    assert (sent["host"], sent["user-agent"]) == (server.url.removeprefix("http://"), "App")
    assert sent["x-request-id"] == "my-own-request"
    assert response.headers["x-page"] == "2"
    assert response.headers["etag"] == '"1"'
    assert response.headers["cache-control"] == "private, no-cache"
    for name in ("set-cookie", "x-secret", "location", "access-control-allow-origin"):
        assert name not in response.headers
    assert response.headers.get("server") != "nginx/1.2"


async def test_header_bytes_are_unchanged(client: httpx2.AsyncClient, server: UpstreamServer):
    disposition = 'attachment; filename="日本.txt"'.encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-disposition: " + disposition + b"\r\n\r\n"
    server["/files/a"] = raw(head + b"ok", close=False)
    for _ in range(6):  # two more than there are places in the pool
        response = await client.get("/example/files/a", headers=[(b"accept-language", "é".encode())])
        returned = dict(response.headers.raw)[b"content-disposition"]
        assert (response.status_code, returned) == (200, disposition)
    assert server.requests[0].header("accept-language") == ["é".encode().decode("latin-1")]


async def test_a_query_that_grows_too_long_is_refused(client: httpx2.AsyncClient, server: UpstreamServer):
    response = await client.get("/example/files/a?q=" + "," * 30_000)
    assert (response.status_code, response.headers["content-type"]) == (400, "application/problem+json")
    assert server.requests == []


async def test_a_304_is_returned_with_its_etag(client: httpx2.AsyncClient, server: UpstreamServer):
    server["/files/a"] = raw(response_head(304, {"etag": '"1"'}), close=False)
    response = await client.get("/example/files/a", headers={"if-none-match": '"1"'})
    assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", '"1"')
    assert server.requests[0].header("if-none-match") == ['"1"']


async def test_a_compressed_body_is_unchanged(client: httpx2.AsyncClient, server: UpstreamServer):
    packed = gzip.compress(b"hello" * 1000)
    server["/files/a"] = respond(packed, content_encoding="gzip", vary="accept-encoding")
    async with client.stream("GET", "/example/files/a", headers={"accept-encoding": "gzip"}) as response:
        body = b"".join([chunk async for chunk in response.aiter_raw()])
    assert (body, response.headers["content-encoding"]) == (packed, "gzip")
    assert response.headers["content-length"] == str(len(packed))


async def test_head_is_allowed_where_get_is(client: httpx2.AsyncClient, server: UpstreamServer):
    server["/files/a"] = respond("12345")
    response = await client.head("/example/files/a")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == "5"
    assert server.requests[0].method == "HEAD"


async def test_a_request_body_is_forwarded_up_to_its_limit(client: httpx2.AsyncClient, server: UpstreamServer):
    server["/files/a"] = respond()
    plain = {"content-type": "text/plain"}
    await client.post("/example/files/a", content=b"x" * 1000, headers=plain)
    (request,) = server.requests
    assert (request.method, len(request.body)) == ("POST", 1000)
    assert request.header("content-type") == ["text/plain"]
    response = await client.post("/example/files/a", content=b"x" * 1001, headers=plain)
    assert (response.status_code, len(server.requests)) == (413, 1)


@pytest.mark.requirement("PROXY-5")
@pytest.mark.requirement("PROXY-15")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "files/a"),
        ("POST", "deep/a/b"),
        ("GET", ""),
        ("GET", "files"),
        ("GET", "files/a/b"),
        ("GET", "files/"),
        ("GET", "files/%2e%2e"),
        ("GET", "files/..%2fadmin"),
        ("GET", "deep/../files"),
        ("GET", "/evil.example/x"),
        ("GET", "http://evil.example/x"),
        ("GET", "files/a%00"),
        ("GET", "FILES/a"),
    ],
)
async def test_only_listed_paths_are_requested(
    client: httpx2.AsyncClient, server: UpstreamServer, method: str, path: str
):
    response = await client.request(method, f"/example/{path}")
    assert response.status_code == 404
    assert server.requests == []


@pytest.mark.requirement("PROXY-3")
@pytest.mark.requirement("PROXY-12")
@pytest.mark.parametrize(
    ("responder", "status"),
    [
        pytest.param(respond(status=302, location="http://10.0.0.1/"), 502, id="redirect"),
        pytest.param(respond("secret detail", status=401), 502, id="401"),
        pytest.param(respond("their traceback", status=500), 502, id="500"),
        pytest.param(respond("nothing", status=404), 404, id="404"),
        pytest.param(respond(status=429, retry_after="7"), 503, id="429"),
        pytest.param(reset(), 502, id="reset"),
        pytest.param(delayed(5, respond()), 504, id="silent"),
        pytest.param(respond(content_length=str(2**31)), 502, id="2 GiB announced"),
    ],
)
async def test_a_failure_is_a_problem_that_names_the_upstream(
    client: httpx2.AsyncClient, server: UpstreamServer, responder, status: int
):
    server["/files/a"] = responder
    response = await client.get("/example/files/a")
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert "example" in response.json()["detail"]
    for secret in ("127.0.0.1", "10.0.0.1", "s3cret", "their traceback", "secret detail"):
        assert secret not in response.text
    if status == 503:
        assert response.headers["retry-after"] == "7"


@pytest.mark.requirement("PROXY-12")
@pytest.mark.parametrize(
    "responder",
    [
        pytest.param(raw(response_head(200, {"content-length": "100"}) + b"short"), id="short"),
        pytest.param(raw(response_head(200, CHUNKED) + b"5\r\nshort\r\n"), id="no last chunk"),
        pytest.param(raw(response_head(200, CHUNKED) + b"5\r\nshort\r\n", 3.0), id="silent"),
    ],
)
async def test_an_incomplete_response_does_not_look_complete(
    client: httpx2.AsyncClient, server: UpstreamServer, responder
):
    server["/files/a"] = responder
    with pytest.raises(httpx2.TransportError):
        await client.get("/example/files/a")


@pytest.mark.requirement("PROXY-12")
async def test_incomplete_responses_open_the_breaker(client: httpx2.AsyncClient, server: UpstreamServer):
    server["/files/a"] = raw(response_head(200, {"content-length": "100"}) + b"short")
    until = time.monotonic() + 15  # the successes of the tests before count for up to ten seconds
    while time.monotonic() < until:
        with suppress(httpx2.TransportError):
            assert (await client.get("/example/files/a")).status_code == 503
            return
    pytest.fail("all requests reached the upstream")


async def test_events_arrive_as_they_are_sent(client: httpx2.AsyncClient, server: UpstreamServer):
    """Each event is sent after the one before has arrived: a buffer in between would stop the stream."""
    arrived = asyncio.Semaphore(0)

    async def send_events(request, writer: asyncio.StreamWriter) -> None:
        writer.write(response_head(200, EVENT_STREAM))
        for number in range(5):
            data = b"data: %d\n\n" % number
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
            await arrived.acquire()
        await asyncio.sleep(1.3)  # longer than `read`: an event stream may be silent
        writer.write(b"3\r\nend\r\n0\r\n\r\n")

    server["/files/a"] = send_events
    received = b""
    async with asyncio.timeout(15), client.stream("GET", "/example/files/a") as response:
        async for chunk in response.aiter_raw():
            received += chunk
            arrived.release()
    assert received == b"".join(b"data: %d\n\n" % number for number in range(5)) + b"end"


@pytest.mark.parametrize("phase", ["before the response", "in the body", "in a silence"])
async def test_a_client_that_disconnects_ends_the_call(client: httpx2.AsyncClient, server: UpstreamServer, phase: str):
    """The limits of this upstream are 60 seconds, so that only the disconnect can end the call earlier."""
    waiting, ended = asyncio.Event(), asyncio.Event()

    async def respond_for_ever(request, writer: asyncio.StreamWriter) -> None:
        try:
            if phase != "before the response":
                writer.write(response_head(200, EVENT_STREAM) + b"1\r\nx\r\n")
                await writer.drain()
            waiting.set()
            while phase == "in the body":
                writer.write(b"1\r\nx\r\n")
                await writer.drain()
                await asyncio.sleep(0.02)
            await asyncio.sleep(60)
        finally:
            ended.set()

    server["/files/a"] = respond_for_ever
    async with asyncio.timeout(10):
        request = asyncio.create_task(client.get("/patient/files/a"))
        await waiting.wait()
        request.cancel()
        await ended.wait()


@pytest.mark.requirement("PROXY-12")
async def test_200_mib_are_forwarded_in_constant_memory(
    client: httpx2.AsyncClient, server: UpstreamServer, proxy: tuple[str, psutil.Process]
):
    server["/files/large"], server["/files/some"] = flood(200 * MIB), flood(20 * MIB)
    await client.get("/example/files/some")  # memory that every process takes once is not counted
    process, peak, size = proxy[1], 0, 0
    before = process.memory_info().rss
    async with client.stream("GET", "/example/files/large") as response:
        async for chunk in response.aiter_raw():
            size += len(chunk)
            peak = max(peak, process.memory_info().rss)
    assert size == 200 * MIB
    assert peak - before < 8 * MIB


async def test_a_slow_client_slows_the_upstream(
    client: httpx2.AsyncClient, server: UpstreamServer, proxy: tuple[str, psutil.Process]
):
    sent = 0

    async def send_100_mib(request, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(response_head(200, {"content-type": "application/octet-stream"}))
        while sent < 100 * MIB:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536
        writer.close()

    server["/files/a"] = send_100_mib
    before = proxy[1].memory_info().rss
    async with client.stream("GET", "/example/files/a") as response:
        async for _ in response.aiter_raw():
            break
        seen = -1
        async with asyncio.timeout(10):
            while sent > seen:  # until the upstream cannot send any more
                seen = sent
                await asyncio.sleep(0.5)
        assert sent < 50 * MIB
        assert proxy[1].memory_info().rss - before < 24 * MIB
