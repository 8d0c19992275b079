"""GET /api/health and /api/ready."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from saaskit import upstream

from app.main import open_resources
from app.settings import Settings

CLOSED = "127.0.0.1:1"  # nothing listens on this port


@asynccontextmanager
async def connect(app: FastAPI, settings: Settings) -> AsyncIterator[AsyncClient]:
    """A client of the application with other settings."""
    async with open_resources(settings) as state:

        async def with_state(scope, receive, send) -> None:
            scope["state"] = dict(state)
            await app(scope, receive, send)

        async with AsyncClient(transport=ASGITransport(with_state), base_url="http://test") as client:
            yield client


async def test_health_uses_no_service(client: AsyncClient, queries):
    with queries() as sent:
        response = await client.get("/api/health")
    assert (response.status_code, response.json(), sent) == (200, {"status": "ok"}, [])


async def test_ready_checks_the_database_and_the_cache(client: AsyncClient):
    response = await client.get("/api/ready")
    upstreams = dict.fromkeys(upstream.readiness(), "ok")
    assert response.json() == {"status": "ok", "database": "ok", "cache": "ok", "upstreams": upstreams}


async def test_ready_is_degraded_without_a_cache(app: FastAPI, settings: Settings):
    async with connect(app, settings.model_copy(update={"redis_url": f"redis://{CLOSED}"})) as client:
        response = await client.get("/api/ready")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")


async def test_ready_is_503_without_a_database(app: FastAPI, settings: Settings):
    url = f"postgresql://app:secret@{CLOSED}/app"
    async with connect(app, settings.model_copy(update={"database_url": url})) as client:
        response = await client.get("/api/ready")
        assert (await client.get("/api/health")).status_code == 200
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"] == "The database does not respond. Try again in a moment."
    assert "secret" not in response.text
