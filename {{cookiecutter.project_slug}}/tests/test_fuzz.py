"""Schemathesis over every operation, in process, on a database of its own: no 5xx, nothing undocumented."""

import asyncio
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from uuid import uuid4

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck
from hypothesis import settings as budget
from hypothesis import strategies as st
from schemathesis.python.asgi import shutdown_lifespans
from schemathesis.specs.openapi.checks import positive_data_acceptance
from schemathesis.transport.asgi import ASGI_TRANSPORT

from app.core.db import create_engine, create_sessions
from app.core.upstream import REGISTRY
from app.core.upstream.breaker import Breaker
from app.main import app as described
from app.main import create_app
from app.settings import Settings

# Of all addresses that the format allows, mail cannot reach those under reserved names such as `.test`.
schemathesis.openapi.format("email", st.from_regex(r"[a-z]{1,20}@example\.com", fullmatch=True))
schema = schemathesis.openapi.from_dict(described.openapi())
# A condition that does not hold is 412; 502 is all that foreign APIs can be here, where nobody is there.
checks = schema.config.checks
checks.positive_data_acceptance.expected_statuses = [
    *checks.positive_data_acceptance.expected_statuses,
    "412",
]
checks.not_a_server_error.expected_statuses = [*checks.not_a_server_error.expected_statuses, "502"]
# What is well formed there and refused all the same: tokens that nobody was sent, passwords that are easy to
# guess, places that are not ours. No schema can say which.
JUDGED = re.compile(r"/api/(auth/|me/email/|me/password|password-reset|users($|/confirmation))")


async def _fill(url: str) -> None:
    """Write the example data, if the project has any."""
    if not find_spec("app.seed"):
        return
    seed = import_module("app.seed").seed
    engine = create_engine(url, pool_size=1)
    async with create_sessions(engine).begin() as db:
        await seed(db)
    await engine.dispose()


@pytest.fixture(scope="module")
def fuzzed(settings: Settings, new_database: Callable[[str], str]) -> Iterator[FastAPI]:
    """The application with example data that requests may spoil."""
    url = new_database("fuzz")
    asyncio.run(_fill(url))
    app = create_app(settings.model_copy(update={"database_url": url}))
    for upstream in REGISTRY.values():
        upstream.exchange.breaker = Breaker(failures=10**9)
    yield app
    for upstream in REGISTRY.values():
        upstream.exchange.breaker = Breaker()
    shutdown_lifespans()


@schema.parametrize()
@budget(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
def test_every_operation_keeps_its_contract(case: schemathesis.Case, fuzzed: FastAPI) -> None:
    # A key that was used before, with another body, is refused as it should be: each request has its own.
    if (case.headers or {}).get("idempotency-key", "").isalnum():
        case.headers["idempotency-key"] = uuid4().hex
    excluded = [positive_data_acceptance] if JUDGED.match(case.operation.path) else []
    case.validate_response(ASGI_TRANSPORT.send(case, app=fuzzed), excluded_checks=excluded)
