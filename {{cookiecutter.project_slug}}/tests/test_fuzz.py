"""Schemathesis over every operation, in process, on a database of its own: no 5xx, nothing undocumented."""

import asyncio
import re
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.util import find_spec
from threading import Thread
from uuid import uuid4

import pytest
import schemathesis
from app.core.db import create_engine, create_sessions
from app.core.upstream import REGISTRY
from fastapi import FastAPI
from hypothesis import HealthCheck
from hypothesis import settings as budget
from hypothesis import strategies as st
from schemathesis.python.asgi import shutdown_lifespans
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance
from schemathesis.transport.asgi import ASGI_TRANSPORT

from app.main import app as described
from app.main import create_app
from app.settings import Settings
from tests.factories import add_user, signed_in

pytestmark = pytest.mark.slow

# Of all addresses that the format allows, mail cannot reach those under reserved names such as `.test`.
schemathesis.openapi.format("email", st.from_regex(r"[a-z]{1,20}@example\.com", fullmatch=True))
schema = schemathesis.openapi.from_dict(described.openapi())
# A condition that does not hold is 412.
accepting = schema.config.checks.positive_data_acceptance
accepting.expected_statuses = [*accepting.expected_statuses, "412"]
# What is well formed there and refused all the same: tokens that nobody was sent, passwords that are easy to
# guess, places that are not ours. No schema can say which.
JUDGED = re.compile(r"/api/(auth/|identities|me/email/|me/password|password-reset|users($|/confirmation))")


async def _fill(url: str) -> None:
    """Write the example data, if the project has any."""
    if not find_spec("app.seed"):
        return
    seed = import_module("app.seed").seed
    engine = create_engine(url, pool_size=1)
    async with create_sessions(engine).begin() as db:
        await seed(db)
    await engine.dispose()


class _Elsewhere(BaseHTTPRequestHandler):
    """All foreign APIs: they know nothing, and say so."""

    def do_GET(self) -> None:
        self.send_response_only(404)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """Where the foreign APIs are."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def fuzzed(
    settings: Settings,
    new_database: Callable[[str], str],
    elsewhere: str,
) -> Iterator[FastAPI]:
    """The application with example data that requests may spoil."""
    url = new_database("fuzz")
    asyncio.run(_fill(url))
    app = create_app(settings.model_copy(update={"database_url": url}))
    before = {name: upstream.base_url for name, upstream in REGISTRY.items()}
    for upstream in REGISTRY.values():
        upstream.base_url = elsewhere
    yield app
    for name, upstream in REGISTRY.items():
        upstream.base_url = before[name]
    shutdown_lifespans()


@pytest.fixture
def cookies(fuzzed: FastAPI) -> dict[str, str]:
    """Of somebody who signed in for this operation, and may be gone after it."""

    async def sign_in() -> dict[str, str]:
        engine = create_engine(fuzzed.state.settings.database_url, pool_size=1)
        async with create_sessions(engine)() as db:
            found = await signed_in(db, await add_user(db))
        await engine.dispose()
        return dict(found)

    return asyncio.run(sign_in())


@schema.parametrize()
@budget(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)
def test_every_operation_keeps_its_contract(
    case: schemathesis.Case,
    fuzzed: FastAPI,
    cookies: dict[str, str],
) -> None:
    # A key that was used before, with another body, is refused as it should be: each request has its own.
    if (case.headers or {}).get("idempotency-key", "").isalnum():
        case.headers["idempotency-key"] = uuid4().hex
    case.headers["origin"] = fuzzed.state.settings.public_url
    case.cookies = {**(case.cookies or {}), **cookies}
    # Each request here has a good cookie; tests/test_routes.py has those without.
    excluded = [ignored_auth]
    if JUDGED.match(case.operation.path):
        excluded.append(positive_data_acceptance)
    case.validate_response(ASGI_TRANSPORT.send(case, app=fuzzed), excluded_checks=excluded)
