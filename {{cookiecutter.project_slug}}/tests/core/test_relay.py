"""`Upstream.forward`: an answer passed on, through the server that runs in production."""

import asyncio
import gzip
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx2
import psutil
import pytest

from devstack import ports
from tests.scripted import Scripted, answer, flood, head, late, raw, reset, scripted

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
ROOT = __file__.rsplit("/tests/", 1)[0]


@pytest.fixture(scope="module")
async def script() -> AsyncIterator[Scripted]:
    async with scripted() as script:
        yield script


@pytest.fixture(scope="module")
async def server(script: Scripted) -> AsyncIterator[tuple[str, psutil.Process]]:
    """Granian with tests/core/relay_app.py, as a process of its own."""
    port = ports.free()
    program = f"-m granian --interface asgi --host 127.0.0.1 --port {port} tests.core.relay_app:wrapped"
    process = await asyncio.create_subprocess_exec(
        sys.executable, *program.split(), cwd=ROOT, env={"UPSTREAM_URL": script.url, "ENVIRONMENT": "test"}
    )
    url = f"http://127.0.0.1:{port}"
    async with asyncio.timeout(60), httpx2.AsyncClient() as client:
        while True:
            try:
                await client.get(url)
                break
            except httpx2.TransportError:
                await asyncio.sleep(0.05)
    worker = max(
        psutil.Process(process.pid).children(recursive=True), key=lambda each: each.memory_info().rss
    )
    yield url, worker
    process.terminate()
    await process.wait()


@pytest.fixture
async def client(server: tuple[str, psutil.Process], script: Scripted) -> AsyncIterator[httpx2.AsyncClient]:
    script.acts.clear()
    script.asked.clear()
    script["/files/reset-the-breaker"] = answer()
    async with httpx2.AsyncClient(base_url=server[0], timeout=20) as client:
        async with asyncio.timeout(10):
            while (await client.get("/relay/files/reset-the-breaker")).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        for _ in range(30):
            await client.get("/relay/files/reset-the-breaker")
        script.asked.clear()
        yield client


async def test_proxy_6_7_only_what_may_cross_crosses(client: httpx2.AsyncClient, script: Scripted):
    script["/files/a"] = answer(
        "{}",
        etag='"1"',
        vary="accept",
        x_page="2",
        set_cookie="a=b",
        server="nginx/1.2",
        connection="keep-alive, x-secret",
        x_secret="1",
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
    }
    got = await client.get("/relay/files/a?q=%C3%B6&q=2&x=a%0d%0ab", headers=hostile)
    (asked,) = script.asked
    assert asked.target == "/files/a?q=%C3%B6&q=2&x=a%0D%0Ab"
    sent = dict(asked.headers)
    assert set(sent) == {
        "host", "accept", "accept-encoding", "authorization", "user-agent", "x-request-id", "traceparent"
    }  # fmt: skip
    assert (sent["authorization"], sent["accept"]) == ("Bearer s3cret", "text/plain")
    assert sent["host"] == script.url.removeprefix("http://")
    assert sent["x-request-id"] == "my-own-request"
    assert got.headers["x-page"] == "2"
    assert got.headers["etag"] == '"1"'
    assert got.headers["cache-control"] == "private, no-cache"
    for name in ("set-cookie", "x-secret", "location", "access-control-allow-origin"):
        assert name not in got.headers
    assert got.headers.get("server") != "nginx/1.2"


async def test_headers_pass_byte_by_byte(client: httpx2.AsyncClient, script: Scripted):
    name = 'attachment; filename="日本.txt"'.encode()
    script["/files/a"] = raw(
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-disposition: " + name + b"\r\n\r\nok", end=False
    )
    for _ in range(6):  # two more than there are places
        got = await client.get("/relay/files/a", headers=[(b"accept-language", "é".encode())])
        assert (got.status_code, dict(got.headers.raw)[b"content-disposition"]) == (200, name)
    assert script.asked[0].header("accept-language") == ["é".encode().decode("latin-1")]


async def test_a_query_that_grows_too_long_is_refused(client: httpx2.AsyncClient, script: Scripted):
    got = await client.get("/relay/files/a?q=" + "," * 30_000)
    assert (got.status_code, got.headers["content-type"]) == (400, "application/problem+json")
    assert script.asked == []


async def test_a_304_and_its_etag_pass(client: httpx2.AsyncClient, script: Scripted):
    script["/files/a"] = raw(head(304, {"etag": '"1"'}), end=False)
    got = await client.get("/relay/files/a", headers={"if-none-match": '"1"'})
    assert (got.status_code, got.content, got.headers["etag"]) == (304, b"", '"1"')
    assert script.asked[0].header("if-none-match") == ['"1"']


async def test_a_compressed_body_passes_untouched(client: httpx2.AsyncClient, script: Scripted):
    packed = gzip.compress(b"hello" * 1000)
    script["/files/a"] = answer(packed, content_encoding="gzip", vary="accept-encoding")
    async with client.stream("GET", "/relay/files/a", headers={"accept-encoding": "gzip"}) as got:
        body = b"".join([chunk async for chunk in got.aiter_raw()])
    assert (body, got.headers["content-encoding"]) == (packed, "gzip")
    assert got.headers["content-length"] == str(len(packed))


async def test_head_and_post(client: httpx2.AsyncClient, script: Scripted):
    script["/files/a"] = answer("12345")
    got = await client.head("/relay/files/a")
    assert (got.status_code, got.content, got.headers["content-length"]) == (200, b"", "5")
    await client.post("/relay/files/a", content=b"x" * 1000, headers={"content-type": "text/plain"})
    assert (script.asked[1].method, len(script.asked[1].body)) == ("POST", 1000)
    assert script.asked[1].header("content-type") == ["text/plain"]
    too_much = await client.post("/relay/files/a", content=b"x" * 1001)
    assert (too_much.status_code, len(script.asked)) == (413, 2)


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
async def test_proxy_5_15_what_is_not_listed_is_not_asked_for(
    client: httpx2.AsyncClient, script: Scripted, method: str, path: str
):
    got = await client.request(method, f"/relay/{path}")
    assert got.status_code in {404, 405}
    assert script.asked == []


@pytest.mark.parametrize(
    ("act", "status"),
    [
        pytest.param(answer(status=302, location="http://10.0.0.1/"), 502, id="redirect"),
        pytest.param(answer("secret detail", status=401), 502, id="401"),
        pytest.param(answer("trace of theirs", status=500), 502, id="500"),
        pytest.param(answer("nothing", status=404), 404, id="404"),
        pytest.param(answer(status=429, retry_after="7"), 503, id="429"),
        pytest.param(reset(), 502, id="reset"),
        pytest.param(late(5, answer()), 504, id="silent"),
        pytest.param(answer(content_length=str(2**31)), 502, id="2 GiB announced"),
    ],
)
async def test_proxy_3_12_trouble_is_a_problem_that_names_the_upstream(
    client: httpx2.AsyncClient, script: Scripted, act, status: int
):
    script["/files/a"] = act
    got = await client.get("/relay/files/a")
    assert got.status_code == status
    assert got.headers["content-type"] == "application/problem+json"
    assert got.json()["detail"].startswith("there ")
    for secret in ("127.0.0.1", "10.0.0.1", "s3cret", "theirs", "secret detail"):
        assert secret not in got.text
    if status == 503:
        assert got.headers["retry-after"] == "7"


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(raw(head(200, {"content-length": "100"}) + b"short"), id="shorter than it said"),
        pytest.param(
            raw(head(200, {"transfer-encoding": "chunked"}) + b"5\r\nshort\r\n"), id="chunks without end"
        ),
        pytest.param(
            raw(head(200, {"transfer-encoding": "chunked"}) + b"5\r\nshort\r\n", 3.0), id="falls silent"
        ),
    ],
)
async def test_proxy_12_an_answer_that_was_cut_off_does_not_look_complete(
    client: httpx2.AsyncClient, script: Scripted, act
):
    script["/files/a"] = act
    with pytest.raises(httpx2.TransportError):
        await client.get("/relay/files/a")


async def test_proxy_12_answers_that_are_cut_off_open_the_breaker(
    client: httpx2.AsyncClient, script: Scripted
):
    script["/files/a"] = raw(head(200, {"content-length": "100"}) + b"short")
    until = time.monotonic() + 15  # the good answers of the tests just before count for up to ten seconds
    while time.monotonic() < until:
        with suppress(httpx2.TransportError):
            assert (await client.get("/relay/files/a")).status_code == 503
            return
    pytest.fail("all of them were asked for")


async def test_a_stream_arrives_as_it_is_sent(client: httpx2.AsyncClient, script: Scripted):
    sent: list[float] = []

    async def act(asked, writer: asyncio.StreamWriter) -> None:
        writer.write(head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"}))
        for number in range(5):
            await asyncio.sleep(
                0.3 if number < 4 else 1.3
            )  # longer than `read`: an event stream may be silent
            data = b"data: %d\n\n" % number
            sent.append(time.monotonic())
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        writer.write(b"0\r\n\r\n")

    script["/files/a"] = act
    async with client.stream("GET", "/relay/files/a") as got:
        arrived = [time.monotonic() async for _ in got.aiter_raw()]
    assert len(arrived) == 5
    assert max(there - here for here, there in zip(sent, arrived, strict=True)) < 0.25


@pytest.mark.parametrize("when", ["before the answer", "in the middle", "in a silence"])
async def test_a_client_who_hangs_up_ends_the_call(client: httpx2.AsyncClient, script: Scripted, when: str):
    gone = asyncio.Event()

    async def act(asked, writer: asyncio.StreamWriter) -> None:
        try:
            if when == "before the answer":
                await asyncio.sleep(30)
            writer.write(head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"}))
            while True:
                writer.write(b"1\r\nx\r\n")
                await writer.drain()
                await asyncio.sleep(0.02 if when == "in the middle" else 30)
        finally:
            gone.set()

    script["/files/a"] = act
    async with httpx2.AsyncClient(base_url=client.base_url) as impatient:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await impatient.get("/relay/files/a")
        left = time.monotonic()
    async with asyncio.timeout(10):
        await gone.wait()
    assert time.monotonic() - left < 1.2


async def test_200_mib_pass_in_constant_memory(
    client: httpx2.AsyncClient, script: Scripted, server: tuple[str, psutil.Process]
):
    """PROXY-12."""
    script["/files/a"], script["/files/some"] = flood(200 * MIB), flood(20 * MIB)
    await client.get("/relay/files/some")  # what every process loads and keeps is no part of it
    process, most, size = server[1], 0, 0
    before = process.memory_info().rss
    async with client.stream("GET", "/relay/files/a") as got:
        async for chunk in got.aiter_raw():
            size += len(chunk)
            most = max(most, process.memory_info().rss)
    assert size == 200 * MIB
    assert most - before < 8 * MIB


async def test_a_reader_who_is_slow_slows_the_upstream(
    client: httpx2.AsyncClient, script: Scripted, server: tuple[str, psutil.Process]
):
    script["/files/a"] = flood(100 * MIB)
    before = server[1].memory_info().rss
    async with client.stream("GET", "/relay/files/a") as got:
        async for _ in got.aiter_raw():
            await asyncio.sleep(1)
            break
        assert server[1].memory_info().rss - before < 24 * MIB
