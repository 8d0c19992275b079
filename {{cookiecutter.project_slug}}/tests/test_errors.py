"""Every error is a problem document (RFC 9457), and every answer has its envelope."""

import re

import httpx2
import pytest
from httpx2 import AsyncClient
from sqlalchemy import text

from app.core.problems import ProblemDocument
from app.deps import Db
from app.main import create_app
from app.settings import Settings


@pytest.fixture
async def broken(settings: Settings, sessions):
    """A client of an application with routes that fail."""
    app = create_app(settings)
    app.state.sessions = sessions

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("the password is hunter2")

    @app.get("/bug-in-sql")
    async def bug_in_sql(db: Db) -> None:
        await db.execute(text("SELECT secret FROM nowhere"))

    @app.post("/body")
    async def body(data: dict) -> dict:
        return data

    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def problem(answer: httpx2.Response, status: int) -> ProblemDocument:
    """Check the form of an error and return it."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    document = ProblemDocument.model_validate_json(answer.content)
    assert document.status == status
    assert document.request_id == answer.headers["x-request-id"]
    return document


@pytest.mark.parametrize("path", ["/nothing", "/api", "/api/nothing", "/api/users/3", "/api//hello"])
async def test_404(client: AsyncClient, path: str):
    problem(await client.get(path), 404)


async def test_405_says_what_is_allowed(client: AsyncClient):
    answer = await client.delete("/api/hello")
    problem(answer, 405)
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


async def test_413_with_and_without_a_length(broken: AsyncClient, settings: Settings):
    big = b'{"a": "' + b"x" * settings.max_body_size + b'"}'
    kind = {"content-type": "application/json"}
    problem(await broken.post("/body", content=big, headers=kind), 413)

    async def chunks():
        for start in range(0, len(big), 65536):
            yield big[start : start + 65536]

    problem(await broken.post("/body", content=chunks(), headers=kind), 413)


@pytest.mark.parametrize("path", ["/bug", "/bug-in-sql"])
async def test_500_says_nothing_about_the_inside(broken: AsyncClient, path: str):
    answer = await broken.get(path)
    problem(answer, 500)
    assert not re.search("hunter2|secret|nowhere|RuntimeError|asyncpg", answer.text)


@pytest.mark.parametrize("path", ["/bug", "/nothing", "/docs", "/openapi.json"])
async def test_every_answer_has_security_headers_and_an_id(broken: AsyncClient, path: str):
    headers = (await broken.get(path)).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["x-request-id"]


async def test_a_callers_request_id_is_kept_if_it_is_one(client: AsyncClient):
    for sent, kept in (("order-7-abc", True), ("a b", False), ("x" * 65, False), ('"><script>', False)):
        answer = await client.get("/api/health", headers={"x-request-id": sent})
        assert (answer.headers["x-request-id"] == sent) is kept


async def test_a_trailing_slash_is_308_without_naming_the_host(client: AsyncClient):
    answer = await client.get("/api/hello/?name=Ada", headers={"host": "evil.example"})
    assert (answer.status_code, answer.headers["location"]) == (308, "/api/hello?name=Ada")


async def test_a_strange_host_is_400(settings: Settings):
    app = create_app(settings.model_copy(update={"allowed_hosts": "api.example.com"}))
    async with AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://evil.example") as client:
        assert (await client.get("/api/health")).status_code == 400
        assert (await client.get("/api/health", headers={"host": "api.example.com"})).status_code == 200


OVER_HTTP = {
    "/api/health": 200,
    "/api/session": 401,
    "/nothing": 404,
}


async def test_production_shows_no_docs_and_asks_for_https(settings: Settings):
    app = create_app(settings.model_copy(update={"environment": "production", "allowed_hosts": "test"}))
    async with AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client:
        for path in ("/", "/docs", "/openapi.json", "/redoc", "/docs/assets/swagger-ui.css"):
            assert (await client.get(path)).status_code == 404
        answers = [await client.get(path) for path in OVER_HTTP]
    assert [answer.status_code for answer in answers] == [*OVER_HTTP.values()]  # and nowhere else
    policy = {answer.headers["strict-transport-security"] for answer in answers}
    assert policy == {"max-age=63072000; includeSubDomains"}
