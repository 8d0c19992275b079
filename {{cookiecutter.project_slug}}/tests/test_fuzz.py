"""Schemathesis calls every operation: no response is a 5xx, and none is undocumented."""

import asyncio
import re
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.util import find_spec
from threading import Thread
from uuid import uuid4

import hypothesis
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck
from hypothesis import strategies as st
from saaskit.db import create_engine, create_sessionmaker
from saaskit.settings import UpstreamSettings
from saaskit.testing import closed_upstreams
from schemathesis.python.asgi import shutdown_lifespans
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance
from schemathesis.transport.asgi import ASGI_TRANSPORT

from app.main import create_app
from app.settings import Settings
from tests.conftest import ORIGIN
from tests.factories import add_user, sign_in

pytestmark = pytest.mark.slow

# The format allows addresses that mail cannot reach, such as those under the reserved name `.test`.
schemathesis.openapi.format("email", st.from_regex(r"[a-z]{1,20}@example\.com", fullmatch=True))
app_without_servers = create_app(Settings(_env_file=None, environment="test"))  # type: ignore[call-arg]
schema = schemathesis.openapi.from_dict(app_without_servers.openapi())
acceptance = schema.config.checks.positive_data_acceptance
acceptance.expected_statuses = [*acceptance.expected_statuses, "412"]  # a condition that is false
NOT_IN_SCHEMA = re.compile(
    r"/api/(auth/|identities|me/email/|me/password|password-reset|users($|/confirmation))"
)
"""Operations that refuse well-formed input: unknown tokens, weak passwords, other sites."""


async def _seed(url: str) -> None:
    """Write the example data, if the project has any."""
    if not find_spec("app.seed"):
        return
    engine = create_engine(url, pool_size=1)
    async with create_sessionmaker(engine).begin() as db:
        await import_module("app.seed").seed(db)
    await engine.dispose()


class _EmptyUpstream(BaseHTTPRequestHandler):
    """Every external API: each path is 404."""

    def do_GET(self) -> None:
        self.send_response_only(404)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture(scope="module")
def empty_upstream() -> Iterator[str]:
    """The URL of the external APIs."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _EmptyUpstream) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def database_url(new_database: Callable[[str], str]) -> str:
    """A database with example data. Requests may change it."""
    url = new_database("fuzz")
    asyncio.run(_seed(url))
    return url


@pytest.fixture(scope="module")
def fuzzed(settings: Settings, database_url: str, empty_upstream: str) -> Iterator[FastAPI]:
    """The application, with its own lifespan."""
    upstreams = {name: UpstreamSettings(base_url=empty_upstream) for name in closed_upstreams()}
    yield create_app(settings.model_copy(update={"database_url": database_url, "upstreams": upstreams}))
    shutdown_lifespans()


@pytest.fixture
def cookies(database_url: str) -> dict[str, str]:
    """The cookies of a user who signed in for this operation, which may delete the account."""

    async def create() -> dict[str, str]:
        engine = create_engine(database_url, pool_size=1)
        async with create_sessionmaker(engine)() as db:
            found = await sign_in(db, await add_user(db))
        await engine.dispose()
        return dict(found)

    return asyncio.run(create())


@schema.parametrize()
@hypothesis.settings(
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
    case: schemathesis.Case, fuzzed: FastAPI, cookies: dict[str, str]
) -> None:
    # A key that was used before with another body is refused, so each request has its own.
    if (case.headers or {}).get("idempotency-key", "").isalnum():
        case.headers["idempotency-key"] = uuid4().hex
    case.headers["origin"] = ORIGIN
    case.cookies = {**(case.cookies or {}), **cookies}
    excluded = [ignored_auth]  # each request has a valid cookie; tests/test_routes.py sends requests without
    if NOT_IN_SCHEMA.match(case.operation.path):
        excluded.append(positive_data_acceptance)
    case.validate_response(ASGI_TRANSPORT.send(case, app=fuzzed), excluded_checks=excluded)
