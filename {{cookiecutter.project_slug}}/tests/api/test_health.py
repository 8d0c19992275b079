"""GET /api/health and /api/ready."""

from httpx2 import ASGITransport, AsyncClient

from app.main import create_app
from app.settings import Settings

NOBODY = "127.0.0.1:1"  # nothing listens on this port


async def test_health_asks_nobody(client: AsyncClient, queries):
    with queries() as sent:
        answer = await client.get("/api/health")
    assert (answer.status_code, answer.json(), sent) == (200, {"status": "ok"}, [])


async def test_ready_asks_the_database_and_the_cache(client: AsyncClient):
    answer = await client.get("/api/ready")
    body = answer.json()
    assert set(body.pop("upstreams", {}).values()) <= {"ok"}
    assert set(body.values()) == {"ok"}


async def test_ready_is_degraded_without_a_cache(settings: Settings):
    app = create_app(settings.model_copy(update={"redis_url": f"redis://{NOBODY}"}))
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://test") as client,
    ):
        answer = await client.get("/api/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")


async def test_ready_is_503_without_a_database(settings: Settings):
    app = create_app(settings.model_copy(update={"database_url": f"postgresql://app:secret@{NOBODY}/app"}))
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://test") as client,
    ):
        answer = await client.get("/api/ready")
        assert (await client.get("/api/health")).status_code == 200
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "The database does not answer. Try again in a moment."
    assert "secret" not in answer.text
