"""The request's transaction ends before its answer is sent."""

from collections.abc import AsyncIterator, Callable
from itertools import count

import httpx2
import pytest
from sqlalchemy import text

from app.deps import Db
from app.main import create_app
from app.settings import Settings

_numbers = count(1)


@pytest.fixture
def database(new_database: Callable[[str], str]) -> str:
    """A database where commits are real."""
    return new_database(f"commits_{next(_numbers)}")


@pytest.fixture
async def client(settings: Settings, database: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of an application with a table of marks."""
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

    async with app.router.lifespan_context(app):
        async with app.state.sessions.begin() as db:
            # The database looks for duplicates at the commit, not at the INSERT.
            await db.execute(text("CREATE TABLE marks (number int UNIQUE DEFERRABLE INITIALLY DEFERRED)"))
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


async def test_a_commit_that_fails_is_no_success(client: httpx2.AsyncClient):
    assert (await client.post("/marks/7")).status_code == 201
    assert (await client.post("/marks/7")).status_code == 409
    assert (await client.get("/marks")).json() == [7]


async def test_a_handler_that_fails_leaves_nothing(client: httpx2.AsyncClient):
    assert (await client.post("/marks-and-fail/8")).status_code == 500
    assert (await client.get("/marks")).json() == []
