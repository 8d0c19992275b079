"""The meaning of database errors, as a client sees them."""

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from packages.saaskit.web.support import ORIGIN, Refusals, assert_problem
from saaskit.db import Base, create_autocommit_engine, create_engine, create_sessionmaker, postgresql_dsn
from saaskit.errors import DatabaseUnavailable
from saaskit.web import RequestContextMiddleware, problem_handlers
from sqlalchemy import CheckConstraint, Column, Integer, Table, Text, UniqueConstraint, insert, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.middleware import Middleware


@pytest.fixture(scope="module")
def database(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture(scope="module")
async def table(database: str) -> AsyncIterator[Table]:
    """A table whose constraint on `sku` has a sentence for people, and that on `name` none."""
    table = Table(
        "test_products",
        Base.metadata,
        Column("id", Integer, primary_key=True),
        Column("sku", Text),
        Column("name", Text),
        Column("stock", Integer, nullable=False),
        UniqueConstraint("sku", info={"problem": "Another product has this SKU."}),
        UniqueConstraint("name"),
        CheckConstraint("stock >= 0", name="stock", info={"problem": "Not enough in stock."}),
    )
    engine = create_engine(database, pool_size=1)
    async with engine.begin() as connection:
        await connection.run_sync(table.create)
        await connection.execute(insert(table).values(sku="lamp", name="Lamp", stock=1))
    await engine.dispose()
    yield table
    Base.metadata.remove(table)


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database, pool_size=1)
    yield engine
    await engine.dispose()


@pytest.fixture
async def client(engine: AsyncEngine, table: Table) -> AsyncIterator[AsyncClient]:
    app = FastAPI(
        exception_handlers=problem_handlers(on_refusal=Refusals()), middleware=[Middleware(RequestContextMiddleware)]
    )

    @app.post("/products")
    async def create(values: dict[str, str | int | None]) -> None:
        async with create_sessionmaker(engine).begin() as db:
            await db.execute(insert(table).values(**{"stock": 1} | values))

    @app.get("/wait")
    async def wait() -> None:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_sleep(60)"))

    @app.get("/one")
    async def one() -> int:
        async with engine.connect() as connection:
            return (await connection.execute(text("SELECT 1"))).scalar_one()

    async with AsyncClient(transport=ASGITransport(app), base_url=ORIGIN) as client:
        yield client


@pytest.mark.parametrize(
    ("values", "detail"),
    [
        ({"sku": "lamp", "name": "Other"}, "Another product has this SKU."),
        ({"sku": "other", "name": "Lamp"}, "This conflicts with existing data."),
        ({"stock": -1}, "Not enough in stock."),
        ({"stock": None}, "This conflicts with existing data."),
    ],
    ids=["unique with a sentence", "unique without", "check with a sentence", "not null"],
)
async def test_a_violated_constraint_is_409_with_its_sentence(client: AsyncClient, values: dict, detail: str):
    assert_problem(await client.post("/products", json=values), 409, detail)


async def test_the_transaction_of_a_refused_change_is_rolled_back(client: AsyncClient, engine: AsyncEngine):
    await client.post("/products", json={"sku": "lamp"})
    async with engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM test_products"))).scalar_one() == 1


async def execute(database: str, statement: str) -> int:
    connection = await asyncpg.connect(postgresql_dsn(database))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


SLEEPING = "FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND wait_event = 'PgSleep'"


async def wait_for_sleepers(database: str, count: int) -> None:
    async with asyncio.timeout(30):
        while await execute(database, f"SELECT count(*) {SLEEPING}") < count:
            await asyncio.sleep(0.01)


async def test_a_connection_that_the_server_ends_is_503(client: AsyncClient, database: str):
    request = asyncio.create_task(client.get("/wait"))
    await wait_for_sleepers(database, 1)
    await execute(database, f"SELECT count(pg_terminate_backend(pid)) {SLEEPING}")
    assert_problem(await request, 503, "The database does not respond. Try again in a moment.")
    assert (await client.get("/one")).json() == 1


async def test_a_pool_that_is_used_up_is_503(client: AsyncClient, database: str):
    requests = [asyncio.create_task(client.get("/wait")) for _ in range(6)]  # one and an overflow of five
    await wait_for_sleepers(database, 6)
    response = await client.get("/one")
    assert_problem(response, 503, "The database does not respond. Try again in a moment.")
    assert response.headers["retry-after"] == "1"
    await execute(database, f"SELECT count(pg_terminate_backend(pid)) {SLEEPING}")
    assert {response.status_code for response in await asyncio.gather(*requests)} == {503}


@pytest.mark.parametrize("url", ["postgresql://app:secret@127.0.0.1:1/app", "postgres://app:secret@127.0.0.1:1/app"])
async def test_a_server_that_refuses_the_connection_is_unavailable(url: str):
    engine = create_engine(url)
    with pytest.raises(DatabaseUnavailable) as raised:
        async with engine.connect():
            pass
    assert "secret" not in str(raised.value)
    await engine.dispose()


async def test_an_error_shows_no_values(engine: AsyncEngine):
    with pytest.raises(DBAPIError) as raised:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT nothing FROM nowhere WHERE x = :x"), {"x": "hunter2"})
    assert "hunter2" not in str(raised.value)


async def test_a_statement_on_an_autocommit_engine_is_a_transaction_of_its_own(engine: AsyncEngine, database: str):
    async with create_autocommit_engine(engine).connect() as connection:
        await connection.execute(text("CREATE TABLE test_autocommit ()"))
        assert await execute(database, "SELECT count(*) FROM test_autocommit") == 0


def test_tables_and_constraints_have_names(table: Table):
    assert {constraint.name for constraint in table.constraints} == {
        "pk_test_products",
        "uq_test_products_sku",
        "uq_test_products_name",
        "ck_test_products_stock",
    }
