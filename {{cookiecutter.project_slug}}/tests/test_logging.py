"""What is logged of a request: one line, with its id; of a failure also the traceback, and no values."""

import io
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
import structlog
from sqlalchemy import text

from app.core.logging import configure_logging
from app.deps import Db
from app.main import create_app
from app.settings import Settings


@pytest.fixture
def log() -> io.StringIO:
    """What is written while a test runs."""
    return io.StringIO()


@pytest.fixture
async def client(settings: Settings, sessions, log: io.StringIO) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an application that logs as in production, to `log`."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    app = create_app(settings.model_copy(update={"environment": "production", "allowed_hosts": "test"}))
    app.state.sessions = sessions
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(log)

    @app.get("/bug")
    async def bug() -> None:
        password = "hunter2"
        raise RuntimeError(f"{len(password)} characters")

    @app.get("/bug-in-sql")
    async def bug_in_sql(db: Db) -> None:
        await db.execute(
            text("SELECT nothing FROM nowhere WHERE password = :password"), {"password": "hunter2"}
        )

    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    configure_logging("info", json=False)


def lines(log: io.StringIO) -> list[dict]:
    """The JSON lines of our own loggers."""
    written = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in written if "path" in line or "exception" in line]


async def test_one_json_line_a_request(client: httpx2.AsyncClient, log: io.StringIO):
    answer = await client.get("/api/hello?name=Ada", headers={"x-request-id": "req-12345678"})
    (line,) = lines(log)
    assert answer.headers["x-request-id"] == line["request_id"] == "req-12345678"
    assert (line["method"], line["path"], line["status"], line["level"]) == ("GET", "/api/hello", 200, "info")
    assert line["ms"] > 0


async def test_times_are_those_of_utc(client: httpx2.AsyncClient, log: io.StringIO):
    logging.getLogger("some.library").warning("hello")
    (line,) = [json.loads(line) for line in log.getvalue().splitlines()]
    at = datetime.fromisoformat(line["timestamp"])
    assert at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)


async def test_a_path_cannot_write_a_line(client: httpx2.AsyncClient, log: io.StringIO):
    await client.get('/api/x%0a{"level":"error","path":"forged"}%1b[31m%c2%85%e2%80%a8')
    (line,) = lines(log)
    assert line["path"].startswith("/api/x\n{")
    assert "\x1b" not in log.getvalue()


@pytest.mark.parametrize("path", ["/bug", "/bug-in-sql"])
async def test_a_failure_is_logged_once_without_values(
    client: httpx2.AsyncClient, log: io.StringIO, path: str
):
    answer = await client.get(path)
    failure, request = lines(log)
    assert (failure["level"], request["status"]) == ("error", 500)
    assert failure["request_id"] == request["request_id"] == answer.headers["x-request-id"]
    assert path.removeprefix("/").replace("-", "_") in str(failure["exception"])
    assert "hunter2" not in str(failure)
