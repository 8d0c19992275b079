"""The product has the platform wired: middleware, error handlers and settings."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient, Response
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import audit, rate_limits
from app.accounts.models import Event
from app.main import create_app
from app.settings import Settings
from app.state import State
from tests.conftest import NewClient
from tests.factories import PASSWORD, add_user, use_up

ROOT = Path(__file__).parent.parent
CROSS_SITE = {"sec-fetch-site": "cross-site"}


@pytest.fixture(scope="module")
def broken_app(settings: Settings) -> FastAPI:
    """An application with a bug."""
    app = create_app(settings)

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("the password is hunter2")

    return app


@pytest.fixture
def broken_client(broken_app: FastAPI, new_client: NewClient) -> AsyncClient:
    return new_client(app=broken_app)


def assert_problem(response: Response, status: int) -> None:
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status
    assert response.json()["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize(("path", "status"), [("/api/health", 200), ("/nothing", 404), ("/bug", 500)])
async def test_every_response_has_security_headers_and_a_request_id(
    broken_client: AsyncClient, path: str, status: int
):
    response = await broken_client.get(path, headers={"x-request-id": "order-7-abc"})
    assert response.status_code == status
    assert response.headers["x-request-id"] == "order-7-abc"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"


async def test_a_bug_is_a_problem_without_internals(broken_client: AsyncClient):
    response = await broken_client.get("/bug")
    assert_problem(response, 500)
    assert not re.search("hunter2|RuntimeError", response.text)


async def test_a_body_over_the_limit_is_413(client: AsyncClient, settings: Settings):
    body = b'{"email": "' + b"x" * settings.max_body_size + b'"}'
    headers = {"content-type": "application/json"}
    assert_problem(await client.post("/api/session", content=body, headers=headers), 413)


async def test_an_invalid_body_is_422_and_not_echoed(client: AsyncClient):
    response = await client.post("/api/session", json={"email": "ada@", "password": "hunter2", "admin": 1})
    assert_problem(response, 422)
    assert {error["field"] for error in response.json()["errors"]} == {"email", "admin"}
    assert "hunter2" not in response.text


async def _count_refusals(db: AsyncSession) -> int:
    statement = select(func.count()).select_from(Event).where(Event.kind == "request.cross_site")
    return await db.scalar(statement) or 0


@pytest.mark.parametrize(
    ("method", "path"), [("PATCH", "/api/me"), ("DELETE", "/api/session"), ("POST", "/api/users")]
)
async def test_a_request_of_another_site_is_403_and_one_event(
    signed_in_client: AsyncClient, db: AsyncSession, method: str, path: str
):
    response = await signed_in_client.request(method, path, json={"name": "Eve"}, headers=CROSS_SITE)
    assert_problem(response, 403)
    assert await _count_refusals(db) == 1
    assert (await signed_in_client.get("/api/me")).json()["name"] == "Ada Lindqvist"


async def test_refusals_of_one_network_are_stored_up_to_a_limit(
    new_client: NewClient, state: State, db: AsyncSession, caplog: pytest.LogCaptureFixture
):
    client = new_client()
    await use_up(state, audit.REFUSALS, client.ip, leave=1)
    for _ in range(3):
        assert (await client.post("/api/users", headers=CROSS_SITE)).status_code == 403
    assert await _count_refusals(db) == 1
    assert sum("request refused" in record.getMessage() for record in caplog.records) == 2
    await new_client().post("/api/users", headers=CROSS_SITE)
    assert await _count_refusals(db) == 2


async def test_a_frontend_of_another_origin_signs_in_and_reads_errors(
    settings: Settings, state: State, db: AsyncSession, new_client: NewClient
):
    user = await add_user(db, password=PASSWORD)
    frontend = "http://localhost:3000"
    changes = {"frontend_origins": [frontend], "public_url": "http://localhost:8000"}
    client = new_client(app=create_app(settings.model_copy(update=changes)))
    client.headers |= {"origin": frontend, "sec-fetch-site": "same-site"}
    form = {"email": user.email, "password": PASSWORD}
    responses = [await client.post("/api/session", json=form)]
    responses.append(await client.patch("/api/me", json={"name": "Grace Hopper"}))
    responses.append(await client.get("/api/me"))
    assert responses[-1].json()["name"] == "Grace Hopper"
    await use_up(state, rate_limits.NETWORK, client.ip, leave=1)  # the sign-in counts
    responses.append(await client.post("/api/session", json=form))
    assert [response.status_code for response in responses] == [204, 200, 200, 429]
    assert {response.headers["access-control-allow-origin"] for response in responses} == {frontend}
    assert "Retry-After" in responses[-1].headers["access-control-expose-headers"]

    other = {"origin": "http://localhost:30001"}
    refused = await client.patch("/api/me", json={"name": "Eve"}, headers=other)
    assert_problem(refused, 403)
    assert "access-control-allow-origin" not in refused.headers
    assert (await client.get("/api/me")).json()["name"] == "Grace Hopper"


async def test_another_host_is_400(settings: Settings, new_client: NewClient):
    client = new_client(app=create_app(settings.model_copy(update={"allowed_hosts": "test"})))
    assert_problem(await client.get("/api/health", headers={"host": "evil.example"}), 400)


async def test_the_documentation_is_served(client: AsyncClient):
    assert (await client.get("/")).headers["location"] == "/docs"
    assert "swagger-ui" in (await client.get("/docs")).text
    assert (await client.get("/openapi.json")).status_code == 200


async def test_production_hides_the_documentation_and_requires_https(
    settings: Settings, state: State, new_client: NewClient
):
    changes = {"environment": "production", "allowed_hosts": "test"}
    state["settings"] = settings.model_copy(update=changes)
    client = new_client(app=create_app(state["settings"]))
    for path in ("/", "/docs", "/openapi.json", "/redoc", "/docs/assets/swagger-ui.css"):
        assert (await client.get(path)).status_code == 404
    response = await client.get("/api/session")
    assert_problem(response, 401)
    assert response.json()["detail"] == "Sign in first."  # without the hint for developers
    assert response.headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"


def test_invalid_settings_end_the_process_with_a_message_and_no_traceback(tmp_path: Path):
    names = {name.upper() for name in Settings.model_fields}
    environment = {name: value for name, value in os.environ.items() if name.partition("__")[0] not in names}
    process = subprocess.run(
        [sys.executable, "-c", "from app.main import app"],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 1
    assert process.stderr.startswith(
        "The settings have 6 problem(s):\n  DATABASE_URL: required in production"
    )
    assert "Traceback" not in process.stderr


def test_the_example_file_names_every_setting_and_no_other():
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    tools = {"HOST", "POSTGRES_PORT", "VALKEY_PORT"}
    named = set(re.findall(r"^(?:# )?([A-Z_]+?)(?:__\w+)?=", example, re.MULTILINE))
    assert named - tools == {name.upper() for name in Settings.model_fields}
