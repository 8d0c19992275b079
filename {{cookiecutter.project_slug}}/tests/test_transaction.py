"""The request's transaction ends before its response is sent."""

from collections.abc import AsyncIterator, Callable

import httpx2
import pytest
from sqlalchemy import text

from app.deps import Db
from app.main import create_app
from app.settings import Settings


@pytest.fixture(scope="module")
def database(new_database: Callable[[str], str]) -> str:
    """A database in which commits are real."""
    return new_database("commits")


@pytest.fixture(scope="module")
async def client(settings: Settings, database: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an application with routes that write to a table of their own."""
    app = create_app(settings.model_copy(update={"database_url": database}))

    @app.post("/marks/{number}", status_code=201)
    async def mark(number: int, db: Db) -> int:
        await db.execute(text("INSERT INTO marks VALUES (:number)"), {"number": number})
        return number

    @app.post("/marks-and-fail/{number}")
    async def mark_and_fail(number: int, db: Db) -> None:
        await mark(number, db)
        raise RuntimeError

    @app.get("/marks")
    async def marks(db: Db) -> list[int]:
        return list((await db.scalars(text("SELECT number FROM marks ORDER BY 1"))).all())

    async with app.router.lifespan_context(app) as state:
        assert state

        async def with_state(scope, receive, send) -> None:
            scope["state"] = dict(state)
            await app(scope, receive, send)

        async with state["sessionmaker"].begin() as db:
            # The constraint is checked at the commit, not at the INSERT.
            await db.execute(text("CREATE TABLE marks (number int UNIQUE DEFERRABLE INITIALLY DEFERRED)"))
        transport = httpx2.ASGITransport(with_state, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


async def test_a_failed_commit_is_an_error_response(client: httpx2.AsyncClient):
    assert (await client.post("/marks/7")).status_code == 201
    assert (await client.post("/marks/7")).status_code == 409
    assert (await client.get("/marks")).json() == [7]


async def test_a_handler_that_raises_writes_nothing(client: httpx2.AsyncClient):
    assert (await client.post("/marks-and-fail/8")).status_code == 500
    assert 8 not in (await client.get("/marks")).json()
