"""What strangers can send that no HTTP client would: raw bytes to the server that the Dockerfile starts."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.settings import Settings

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sockets that close late")

ROOT = Path(__file__).parent.parent
HOST = "api.example.com"
Ask = Callable[..., tuple[list[int], bool]]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def port(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of the API in production, in one process."""
    said = next(line for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("CMD "))
    command, port = json.loads(said.removeprefix("CMD ")), free_port()
    for name, value in (("--host", "127.0.0.1"), ("--port", f"{port}"), ("--workers", "1")):
        command[command.index(name) + 1] = value
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "ENVIRONMENT": "production",
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "ALLOWED_HOSTS": HOST,
        "PUBLIC_URL": f"https://{HOST}",
        "SIGNING_KEYS": "a-key-for-tests-of-32-characters-or-more",
        "ENCRYPTION_KEYS": f"{'A' * 42}E=",
        "BODY_SECONDS": "1",
    }
    log = tmp_path_factory.mktemp("wire") / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], cwd=log.parent, env=environment, stdout=output, stderr=output
        )
    deadline = time.monotonic() + 60
    while not answers(port):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    yield port
    process.terminate()
    process.wait(20)


@pytest.fixture
def ask(port: int) -> Ask:
    """Send bytes; the statuses that came back until the end or the timeout, and whether it was the end."""

    def ask(sent: bytes, seconds: float = 15) -> tuple[list[int], bool]:
        received, closed = b"", False
        with closing(socket.create_connection(("127.0.0.1", port), timeout=seconds)) as connection:
            try:
                connection.sendall(sent)
                while part := connection.recv(65536):
                    received += part
                closed = True
            except TimeoutError:
                pass
            except OSError:
                closed = True
        return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3})", received)], closed

    return ask


def request(path: str = "/api/health", *headers: str, method: str = "GET", end: str = "\r\n") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", *headers, "", ""]
    return end.join(lines).encode("latin-1")


NEXT = request("/api/health?smuggled")


def test_a_request_is_answered(ask: Ask):
    assert ask(request("/api/health", "Connection: close")) == ([200], True)


@pytest.mark.parametrize(
    "path", ["/docs", "/redoc", "/openapi.json", "/debug", "/metrics", "/.env", "/.git/config", "/api/debug"]
)
def test_csrf_9_nothing_of_ours_is_shown(ask: Ask, path: str):
    assert ask(request(path, "Connection: close")) == ([404], True)


@pytest.mark.parametrize(
    "path",
    [
        *("/api/__init__", "/api/__init__.py", "/api/health.py", "/api/health.pyc", "/api/health~"),
        *("/api/.health.py.swp", "/api/HEALTH", "/api/_private", "/api/../app/main", "/api/..%2fmain"),
        *("/api/%2e%2e/main", "/api/me/[id]", "/api/index", "/api/session/index"),
    ],
)
def test_http_1_only_what_a_route_file_says_is_a_route(ask: Ask, path: str):
    statuses, _ = ask(request(path, "Connection: close"))
    assert statuses in ([404], [400])


@pytest.mark.parametrize(
    "value",
    [
        *(
            "..",
            "%2e%2e",
            "a%2fb",
            "%0d%0a",
            "%00",
            "9" * 40,
            "-1",
            "1e3",
            "%D9%A1",
            "1%20",
            "+1",
            "x" * 10_000,
        ),
        *("0x1", "1.0", "NaN", "%ff", "1;2", "1,2", "%7b%7d"),
    ],
)
def test_http_2_a_segment_that_is_no_value_is_refused(ask: Ask, value: str):
    statuses, _ = ask(request(f"/api/auth/login/{value}", "Connection: close"))
    assert statuses in ([400], [404], [414], [422])


@pytest.mark.parametrize(
    "sent",
    [
        request("/api/session", "Content-Length: 5", "Content-Length: 6", method="POST") + b"12345" + NEXT,
        request("/api/session", "Content-Length: 5, 6", method="POST") + b"12345" + NEXT,
        request("/api/session", "Content-Length: -1", method="POST") + NEXT,
        request("/api/session", "Content-Length: +5", method="POST") + b"12345" + NEXT,
        request("/api/session", "Transfer-Encoding: xchunked", method="POST") + b"0\r\n\r\n" + NEXT,
        request("/api/session", "Transfer-Encoding: chunked, identity", method="POST") + b"0\r\n\r\n" + NEXT,
        request("/api/health", "X-Folded: a\r\n b") + NEXT,
        request("/api/health", "X-Space : a") + NEXT,
        request("/api/health", "X-\x00Nul: a") + NEXT,
        request("/api/health", "X-Bare: a\rb") + NEXT,
        b"GET /api/health HTTP/1.1\r\n" + NEXT,
        b"GET /api/health HTTP/9.9\r\nHost: " + HOST.encode() + b"\r\n\r\n" + NEXT,
    ],
    ids=[
        *("two lengths", "a list of lengths", "a negative length", "a signed length"),
        *("an unknown encoding", "chunked not last", "a folded header", "a space before the colon"),
        *("NUL in a name", "a bare CR", "a request in a header", "HTTP/9.9"),
    ],
)
def test_http_3_what_is_ambiguous_is_refused_and_the_connection_closed(ask: Ask, sent: bytes):
    statuses, closed = ask(sent)
    assert closed
    assert statuses in ([400], [505], [])


@pytest.mark.parametrize("size", ["5", "5;" + "x" * 65536])
def test_http_3_chunks_and_a_length_are_one_request_at_most(ask: Ask, size: str):
    """RFC 9112 §6.3 lets a server read the chunks, if it closes the connection afterwards."""
    ambiguous = request("/api/session", "Content-Length: 4", "Transfer-Encoding: chunked", method="POST")
    statuses, closed = ask(ambiguous + f"{size}\r\n12345\r\n0\r\n\r\n".encode() + NEXT)
    assert closed
    assert statuses != []
    assert statuses[0] >= 400
    assert len(statuses) == 1


@pytest.mark.parametrize(
    "sent",
    [
        request("/api/health", *(f"X-{number}: a" for number in range(1000))),
        request("/api/health", "X-Long: " + "a" * 65536 * 8),
        request("/api/health?" + "a" * 65536 * 2),
        request("/api/me", "Cookie: " + "; ".join(f"name{number}=value" for number in range(60_000))),
    ],
    ids=["1000 headers", "512 KiB in one header", "128 KiB of query", "60,000 cookies"],
)
def test_http_8_a_flood_of_headers_is_refused(ask: Ask, sent: bytes):
    statuses, closed = ask(sent)
    assert closed
    assert set(statuses) <= {400, 414, 431}


def test_avail_1_headers_that_drip_are_not_waited_for(port: int):
    began = time.monotonic()
    with closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as connection:
        connection.sendall(b"GET /api/health HTTP/1.1\r\nHost: ")
        assert b"200" not in connection.recv(1000)
    assert 2 < time.monotonic() - began < 15


@pytest.mark.parametrize(
    "sent",
    [
        request("/api/users", "Content-Length: 99999999999", "Content-Type: application/json", method="POST"),
        request("/api/users", "Content-Type: application/json", "Transfer-Encoding: chunked", method="POST")
        + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 17
        + b"0\r\n\r\n",
        request("/api/users", f"Content-Type: multipart/form-data; boundary={'b' * 10_000}", method="POST"),
    ],
    ids=["a length beyond the limit", "chunks beyond the limit", "a boundary of 10 KB"],
)
def test_input_9_a_body_beyond_the_limit_is_refused(ask: Ask, sent: bytes):
    statuses, _ = ask(sent)
    assert statuses[:1] in ([413], [422], [403])


def test_input_9_a_length_that_lies_is_waited_for_no_longer_than_the_deadline(ask: Ask):
    sent = request("/api/users", "Content-Length: 100", "Content-Type: application/json", method="POST")
    assert ask(sent + b'{"email": ')[0] == [408]


def test_input_9_two_thousand_fields_are_refused(ask: Ask):
    body = "&".join(f"field{number}=x" for number in range(2000)).encode()
    kind = "Content-Type: application/x-www-form-urlencoded"
    sent = request(
        "/api/users/confirmation", kind, f"Content-Length: {len(body)}", "Connection: close", method="POST"
    )
    assert ask(sent + body)[0] == [400]


KNOWN = f"Host: {HOST}\r\n".encode()
START = b"GET /api/health HTTP/1.1\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        START,
        START + b"Host: \r\n",
        START + KNOWN + b"Host: evil.example\r\n",
        START + b"Host: evil.example\r\n" + KNOWN,
        START + KNOWN + KNOWN,
        b"GET http://evil.example/api/health HTTP/1.1\r\nHost: evil.example\r\n",
    ],
    ids=["none", "empty", "ours first", "ours last", "ours twice", "absolute"],
)
def test_http_4_a_request_names_one_host_of_ours(ask: Ask, sent: bytes):
    assert ask(sent + b"Connection: close\r\n\r\n") == ([400], True)


def test_http_4_an_absolute_address_decides_nothing(ask: Ask):
    """The Host does: what is served is our own, whatever the address in the first line."""
    sent = b"GET http://evil.example/api/health HTTP/1.1\r\n" + KNOWN + b"Connection: close\r\n\r\n"
    assert ask(sent)[0] in ([200], [400])


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (b"GET /api/health HTTP/1.0\r\n" + KNOWN + b"\r\n", [200]),
        (b"GET /api/health HTTP/1.0\r\n\r\n", [400]),
        (b"OPTIONS * HTTP/1.1\r\n" + KNOWN + b"Connection: close\r\n\r\n", [404]),
        (request("/api/health", "Connection: close, Upgrade, HTTP2-Settings", "Upgrade: h2c"), [200]),
    ],
    ids=["HTTP/1.0", "HTTP/1.0 without a host", "OPTIONS *", "h2c"],
)
def test_http_7_old_and_odd_requests(ask: Ask, sent: bytes, statuses: list[int]):
    assert ask(sent, seconds=5)[0] == statuses


def test_http_7_who_asks_before_sending_is_refused_at_once(ask: Ask):
    """`Expect: 100-continue`, for what has no place here anyway."""
    kind = "Content-Type: application/json"
    sent = request("/api/users", kind, "Expect: 100-continue", "Content-Length: 99999999", method="POST")
    assert ask(sent)[0][-1:] == [413]


def test_the_hint_for_developers_is_for_developers(port: int):
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as connection:
        connection.sendall(request("/api/me", "Connection: close"))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b'"Sign in first."' in answer
