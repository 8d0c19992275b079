"""The request id, the trace, the log line and `Cache-Status`. The log lines are those of a real server."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from devstack.pytest_plugin import Servers
from packages.saaskit.web.conftest import Server
from packages.saaskit.web.support import NewClient, exchange, request

CLOSE = "Connection: close"


@pytest.mark.parametrize("sent", ["order-7-abc", "a.b_c-12", "x" * 64])
async def test_a_well_formed_request_id_is_kept(client, sent: str):
    assert (await client.get("/api/health", headers={"x-request-id": sent})).headers["x-request-id"] == sent


@pytest.mark.parametrize(
    "sent", ["", "short-7", "x" * 65, "order 7 abc", '"><script>', "order-7-äbc".encode(), "a\tb-12345"]
)
async def test_another_request_id_is_replaced(client, sent: str | bytes):
    received = (await client.get("/api/health", headers={"x-request-id": sent})).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{16}", received)


async def test_each_request_gets_its_own_id(client):
    ids = [(await client.get(path)).headers["x-request-id"] for path in ("/api/health", "/nothing", "/bug")]
    assert len(set(ids)) == 3


async def test_cache_status_lists_the_cached_calls_of_the_request(new_client: NewClient, servers: Servers):
    async with new_client(redis_url=f"{servers.cache}/4") as client:
        first = await client.get("/greeting", params={"name": "Ada"})
        second = await client.get("/greeting", params={"name": "Ada"})
        health = await client.get("/api/health")
    assert first.headers["cache-status"] == "greeting; fwd=miss; stored"
    assert re.fullmatch(r"greeting; hit; ttl=\d+", second.headers["cache-status"])
    assert "cache-status" not in health.headers


def test_each_request_writes_one_json_line(server: Server):
    response = exchange(server.port, request("/notes/1?name=Ada", "X-Request-ID: one-line-1", CLOSE))
    assert b"x-request-id: one-line-1" in response.data
    # A second request: everything that the first one wrote is in the log.
    exchange(server.port, request("/nothing", "X-Request-ID: one-line-2", CLOSE))
    server.log_lines("one-line-2")
    (line,) = server.log_lines("one-line-1")
    assert (line["event"], line["level"]) == ("request", "info")
    assert (line["method"], line["path"], line["status"]) == ("GET", "/notes/1", 200)
    assert line["ms"] > 0
    assert "Ada" not in str(line)


def test_times_are_in_utc(server: Server):
    exchange(server.port, request("/api/health", "X-Request-ID: utc-time", CLOSE))
    (line,) = server.log_lines("utc-time")
    time = datetime.fromisoformat(line["timestamp"])
    assert time.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - time) < timedelta(minutes=5)


def test_a_path_cannot_forge_a_line(server: Server):
    path = "/api/x%0a%7b%22level%22:%22error%22%7d%1b[31m%c2%85%e2%80%a8"
    exchange(server.port, request(path, "X-Request-ID: forged-line", CLOSE))
    (line,) = server.log_lines("forged-line")
    assert line["path"].startswith('/api/x\n{"level":"error"}')
    assert "\x1b" not in server.log.read_text(encoding="utf-8")


@pytest.mark.parametrize(("path", "function"), [("/bug", "bug"), ("/bug-in-sql", "bug_in_sql")])
def test_a_bug_is_logged_once_with_its_traceback_and_without_values(server: Server, path: str, function: str):
    request_id = f"logged-{function}"
    exchange(server.port, request(path, f"X-Request-ID: {request_id}", CLOSE))
    failure, line = server.log_lines(request_id, 2)
    assert (failure["level"], failure["event"]) == ("error", "request failed")
    assert (line["event"], line["status"]) == ("request", 500)
    assert f"'name': '{function}'" in str(failure["exception"])
    assert "hunter2" not in server.log.read_text(encoding="utf-8")


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("request_id", "sent", "logged"),
    [
        ("trace-valid", TRACE, TRACE),
        ("trace-zeros", "00-00000000000000000000000000000000-b7ad6b7169203331-01", None),
        ("trace-version", TRACE.replace("00-", "ff-", 1), None),
        ("trace-invalid", "not a trace", None),
    ],
)
def test_the_log_line_has_a_valid_trace(server: Server, request_id: str, sent: str, logged: str | None):
    exchange(server.port, request("/api/health", f"traceparent: {sent}", f"X-Request-ID: {request_id}", CLOSE))
    (line,) = server.log_lines(request_id)
    assert line.get("traceparent") == logged
