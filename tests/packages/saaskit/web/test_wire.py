"""Raw bytes that no HTTP client would send, to the server that the Dockerfile starts."""

import socket
import sys
import time

import pytest
from packages.saaskit.web.conftest import Server
from packages.saaskit.web.support import HOST, exchange, request

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows resets connections that the server closes")

CLOSE = "Connection: close"
JSON = "Content-Type: application/json"
NEXT = request("/api/health?smuggled")


def test_a_request_gets_a_response(server: Server):
    response = exchange(server.port, request("/api/health", CLOSE))
    assert response.statuses == [200]
    assert response.body == b'{"status":"ok"}'


@pytest.mark.requirement("CSRF-9")
@pytest.mark.parametrize(
    "path", ["/docs", "/redoc", "/openapi.json", "/debug", "/metrics", "/.env", "/.git/config", "/api/debug"]
)
def test_production_has_no_page_about_itself(server: Server, path: str):
    assert exchange(server.port, request(path, CLOSE)).statuses == [404]


@pytest.mark.requirement("HTTP-1")
@pytest.mark.parametrize(
    "path",
    [
        *("/api/__init__", "/api/__init__.py", "/api/health.py", "/api/health.pyc", "/api/health~"),
        *("/api/.health.py.swp", "/api/HEALTH", "/api/_private", "/api/../app/main", "/api/..%2fmain"),
        *("/api/%2e%2e/main", "/api/[word]", "/api/index", "/api/words/index", "/api//health"),
    ],
)
def test_only_route_files_have_a_url(server: Server, path: str):
    assert exchange(server.port, request(path, CLOSE)).statuses == [404]


@pytest.mark.requirement("HTTP-2")
@pytest.mark.parametrize(
    ("value", "status"),
    [
        *(("a-word", 404), ("9" * 40, 404), ("a%2fb", 404), ("x" * 60, 404)),
        *(("..", 404), ("%2e%2e", 404), ("%0d%0a", 422), ("%00", 422), ("-1", 422), ("%D9%A1", 422)),
        *(("1%20", 422), ("+1", 422), ("1.0", 422), ("NaN", 422), ("%ff", 422), ("1;2", 422), ("1,2", 422)),
        *(("%7b%7d", 422), ("[word]", 422), ("x" * 61, 422), ("x" * 10_000, 422)),
    ],
)
def test_a_path_parameter_is_validated_as_it_was_sent(server: Server, value: str, status: int):
    assert exchange(server.port, request(f"/api/words/{value}", CLOSE)).statuses == [status]


@pytest.mark.requirement("HTTP-3")
@pytest.mark.parametrize(
    "sent",
    [
        request("/notes", "Content-Length: 5", "Content-Length: 6", method="POST", body=b"12345"),
        request("/notes", "Content-Length: 5, 6", method="POST", body=b"12345"),
        request("/notes", "Content-Length: -1", method="POST"),
        request("/notes", "Content-Length: +5", method="POST", body=b"12345"),
        request("/notes", "Transfer-Encoding: xchunked", method="POST", body=b"0\r\n\r\n"),
        request("/notes", "Transfer-Encoding: chunked, identity", method="POST", body=b"0\r\n\r\n"),
        request("/api/health", "X-Folded: a\r\n b"),
        request("/api/health", "X-Space : a"),
        request("/api/health", "X-\x00Nul: a"),
        request("/api/health", "X-Bare: a\rb"),
        b"GET /api/health HTTP/1.1\r\n",
        b"GET /api/health HTTP/9.9\r\nHost: " + HOST.encode() + b"\r\n\r\n",
    ],
    ids=[
        *("two lengths", "a list of lengths", "a negative length", "a signed length"),
        *("an unknown encoding", "chunked is not last", "a folded header", "a space before the colon"),
        *("NUL in a name", "a bare CR", "a request in the headers", "HTTP/9.9"),
    ],
)
def test_an_ambiguous_request_is_refused_and_the_connection_closed(server: Server, sent: bytes):
    assert exchange(server.port, sent + NEXT).statuses == [400]


@pytest.mark.requirement("HTTP-3")
@pytest.mark.parametrize(("size", "status"), [("5", 422), ("5;" + "x" * 65536, 400)], ids=["plain", "64 KiB extension"])
def test_chunks_together_with_a_length_are_at_most_one_request(server: Server, size: str, status: int):
    """RFC 9112 §6.3 lets a server read the chunks if it closes the connection afterwards."""
    headers = ("Content-Length: 4", "Transfer-Encoding: chunked", JSON)
    body = f"{size}\r\n12345\r\n0\r\n\r\n".encode()
    assert exchange(server.port, request("/notes", *headers, method="POST", body=body) + NEXT).statuses == [status]


@pytest.mark.requirement("HTTP-8")
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request("/api/health", *(f"X-{number}: a" for number in range(1000))), 431),
        (request("/api/health", "X-Long: " + "a" * 512 * 1024), 431),
        (request("/api/health?" + "a" * 128 * 1024), 414),
        (request("/cookie", "Cookie: " + "; ".join(f"name{number}=value" for number in range(60_000))), 431),
    ],
    ids=["1000 headers", "512 KiB in one header", "128 KiB of query", "60,000 cookies"],
)
def test_a_flood_of_headers_is_refused_and_the_connection_closed(server: Server, sent: bytes, status: int):
    assert exchange(server.port, sent).statuses == [status]


@pytest.mark.requirement("AVAIL-1")
def test_headers_that_do_not_arrive_in_time_end_the_connection(server: Server):
    """The Dockerfile allows 5 seconds; `exchange` gives up after 60."""
    started = time.monotonic()
    assert exchange(server.port, b"GET /api/health HTTP/1.1\r\nHost: ").statuses == []
    assert time.monotonic() - started > 2


CHUNKS = (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 17 + b"0\r\n\r\n"


@pytest.mark.requirement("INPUT-9")
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request("/notes", "Content-Length: 99999999999", JSON, CLOSE, method="POST"), 413),
        (request("/notes", "Transfer-Encoding: chunked", JSON, CLOSE, method="POST", body=CHUNKS), 413),
        (request("/login", f"Content-Type: multipart/form-data; boundary={'b' * 10_000}", CLOSE, method="POST"), 415),
    ],
    ids=["a length over the limit", "chunks over the limit", "a boundary of 10 KB"],
)
def test_a_body_over_the_limit_is_refused(server: Server, sent: bytes, status: int):
    assert exchange(server.port, sent).statuses == [status]


@pytest.mark.requirement("INPUT-9")
def test_a_body_shorter_than_its_length_is_408_after_the_time_limit(server: Server):
    response = exchange(server.port, request("/notes", "Content-Length: 100", JSON, method="POST", body=b'{"title": '))
    assert response.statuses == [408]
    assert b"The request body took too long to arrive." in response.body


@pytest.mark.requirement("INPUT-9")
def test_two_thousand_form_fields_are_refused(server: Server):
    body = "&".join(f"field{number}=x" for number in range(2000)).encode()
    headers = ("Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}", CLOSE)
    assert exchange(server.port, request("/login", *headers, method="POST", body=body)).statuses == [400]


OURS = f"Host: {HOST}\r\n".encode()
START = b"GET /api/health HTTP/1.1\r\n"


@pytest.mark.requirement("HTTP-4")
@pytest.mark.parametrize(
    "sent",
    [
        START,
        START + b"Host: \r\n",
        START + OURS + b"Host: evil.example\r\n",
        START + b"Host: evil.example\r\n" + OURS,
        START + OURS + OURS,
        b"GET http://evil.example/api/health HTTP/1.1\r\nHost: evil.example\r\n",
    ],
    ids=["none", "empty", "ours first", "ours last", "ours twice", "absolute"],
)
def test_a_request_needs_exactly_one_host_of_ours(server: Server, sent: bytes):
    assert exchange(server.port, sent + b"Connection: close\r\n\r\n").statuses == [400]


@pytest.mark.requirement("HTTP-4")
def test_the_host_header_decides_and_not_an_absolute_request_target(server: Server):
    sent = b"GET http://evil.example/api/health HTTP/1.1\r\n" + OURS + b"Connection: close\r\n\r\n"
    response = exchange(server.port, sent)
    assert response.statuses == [200]
    assert response.body == b'{"status":"ok"}'


@pytest.mark.requirement("HTTP-7")
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /api/health HTTP/1.0\r\n" + OURS + b"\r\n", 200),
        (b"GET /api/health HTTP/1.0\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\n" + OURS + b"Connection: close\r\n\r\n", 404),
        (request("/api/health", "Connection: close, Upgrade, HTTP2-Settings", "Upgrade: h2c"), 200),
    ],
    ids=["HTTP/1.0", "HTTP/1.0 without a host", "OPTIONS *", "h2c"],
)
def test_old_and_unusual_requests(server: Server, sent: bytes, status: int):
    assert exchange(server.port, sent).statuses == [status]


@pytest.mark.requirement("HTTP-7")
def test_a_request_that_expects_100_continue_is_refused_before_the_body_is_sent(server: Server):
    headers = (JSON, "Expect: 100-continue", "Content-Length: 99999999", CLOSE)
    assert exchange(server.port, request("/notes", *headers, method="POST")).statuses == [413]


@pytest.mark.parametrize(("path", "status"), [("/api/health", 200), ("/notes/1", 200), ("/nothing", 404)])
def test_the_response_to_head_has_no_body(server: Server, path: str, status: int):
    response = exchange(server.port, request(path, CLOSE, method="HEAD"))
    assert (response.statuses, response.body) == ([status], b"")


def test_304_has_no_body(server: Server):
    response = exchange(server.port, request("/notes/1", "If-None-Match: *", CLOSE))
    assert (response.statuses, response.body) == ([304], b"")


def test_a_response_that_fails_midway_is_not_completed(server: Server):
    """Without the last chunk a client knows that the body is incomplete."""
    response = exchange(server.port, request("/bug-in-stream", CLOSE))
    assert response.statuses == [200]
    assert b"first part" in response.body
    assert not response.body.endswith(b"0\r\n\r\n")
    assert b"hunter2" not in response.data


@pytest.mark.requirement("CSRF-10")
def test_a_refused_websocket_is_403(server: Server):
    headers = ("Upgrade: websocket", "Connection: close, Upgrade", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    response = exchange(server.port, request("/socket", *headers, key, "Origin: https://evil.example"))
    assert response.statuses == [403]


def test_a_client_that_disconnects_leaves_the_server_running(server: Server):
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(request("/notes", "Content-Length: 100", JSON, method="POST", body=b"{"))
    assert exchange(server.port, request("/api/health", CLOSE)).statuses == [200]
