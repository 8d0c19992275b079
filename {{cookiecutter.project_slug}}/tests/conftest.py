"""Real engines, booted once a run; a migrated database, cloned once a worker; every test rolled back."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import asyncpg
import httpx2
import pytest
from alembic import command
from alembic.config import Config
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_sessionmaker
from starlette.types import Message, Receive, Scope, Send

# Before the application is imported. Nothing listens there: no test speaks with the internet.
os.environ |= dict.fromkeys(("WEATHER_URL", "GEOCODING_URL", "GITHUB_URL"), "http://127.0.0.1:1")
os.environ["ENVIRONMENT"] = "test"

from app.core.cache.store import Store, connected
from app.core.db import Sessions, create_engine
from app.main import create_app
from app.models.users import User
from app.settings import Settings
from devstack.engines import postgres, valkey
from tests.factories import add_user, new_address, signed_in

ROOT = Path(__file__).parent.parent
TEMPLATE = "template_app"
ORIGIN = "https://test"


class Engines(NamedTuple):
    """URLs of the servers of this run."""

    database: str
    cache: str


def boot(folder: Path, stack: ExitStack) -> Engines:
    """Start a PostgreSQL and a Valkey of our own and migrate the template database."""
    database = stack.enter_context(postgres(folder / "postgres", durable=False))
    cache = stack.enter_context(valkey(folder / "valkey", durable=False))
    asyncio.run(_execute(database, f"CREATE DATABASE {TEMPLATE}"))
    alembic = Config(toml_file=ROOT / "pyproject.toml")
    alembic.attributes["url"] = on(database, TEMPLATE)
    command.upgrade(alembic, "head")
    return Engines(database, cache)


def on(url: str, database: str) -> str:
    """`url` with another database."""
    return f"{url.rpartition('/')[0]}/{database}"


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="the slow tests, too: they kill and freeze servers")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is slow, unless it is asked for by `--all` or by name.

    Move what is marked `last` there; leave it out of a partial run, in which it could only fail.
    """
    named = config.option.keyword or config.args != config.getini("testpaths")
    slow = set() if named or config.option.all else {i for i in items if i.get_closest_marker("slow")}
    last = [item for item in items if item.get_closest_marker("last")]
    left = [] if named or hasattr(config, "workerinput") else last
    config.hook.pytest_deselected(items=[item for item in items if item in slow])
    items[:] = [item for item in items if item not in last and item not in slow] + left


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    """With `-n`: boot in the controller, once, and tell each worker where."""
    config = node.config
    if not hasattr(config, "engines"):
        config.engine_stack = ExitStack()
        folder = Path(config.engine_stack.enter_context(_temporary_folder()))
        config.engines = boot(folder, config.engine_stack)
    node.workerinput["engines"] = tuple(config.engines)


def pytest_unconfigure(config: pytest.Config) -> None:
    """With `-n`: stop what the controller booted."""
    if stack := getattr(config, "engine_stack", None):
        stack.close()


def _temporary_folder() -> AbstractContextManager[str]:
    import tempfile

    return tempfile.TemporaryDirectory(prefix="engines-")


@pytest.fixture(scope="session")
def engines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    """The servers of this run, with the migrated template database on them."""
    with ExitStack() as stack:
        given = getattr(request.config, "workerinput", {}).get("engines")
        yield Engines(*given) if given else boot(tmp_path_factory.mktemp("engines"), stack)


@pytest.fixture(scope="session")
def new_database(engines: Engines, worker: str) -> Callable[[str], str]:
    """Make a database with all tables, as a copy of the migrated one: `new_database("fuzz")` → its URL."""

    def create(name: str) -> str:
        name = f"{worker}_{name}"
        statement = f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy"
        asyncio.run(_execute(engines.database, statement))
        return on(engines.database, name)

    return create


@pytest.fixture(scope="session")
def worker() -> str:
    """Name of this worker under xdist, `main` without it."""
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


@pytest.fixture(scope="session")
def settings(engines: Engines, new_database: Callable[[str], str], worker: str) -> Settings:
    """Settings of the application under test, on this worker's own database and cache."""
    number = worker.removeprefix("gw") if worker.startswith("gw") else 0
    return Settings(
        environment="test",
        public_url=ORIGIN,
        database_url=new_database("app"),
        redis_url=f"{engines.cache}/{number}",
    )


@pytest.fixture(scope="session")
def app(settings: Settings) -> FastAPI:
    """The application, wired as in production."""
    return create_app(settings)


@pytest.fixture(scope="session")
async def connection(settings: Settings) -> AsyncIterator[AsyncConnection]:
    """The one connection through which this worker's tests go."""
    engine = create_engine(settings.database_url, pool_size=1)
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


@pytest.fixture
async def sessions(connection: AsyncConnection) -> AsyncIterator[Sessions]:
    """Sessions inside one transaction that is rolled back: the code under test commits to a savepoint."""
    transaction = await connection.begin()
    yield async_sessionmaker(connection, join_transaction_mode="create_savepoint", expire_on_commit=False)
    await transaction.rollback()


@pytest.fixture
async def db(sessions: Sessions) -> AsyncIterator[AsyncSession]:
    """A session to arrange rows and to look at them; commit what a request shall see."""
    async with sessions() as session:
        yield session


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    """This test's cache: nothing in it, nothing left of it."""
    async with connected(settings.redis_url) as store:
        yield store
        await store.server.link.run(lambda client: client.flushdb())


@pytest.fixture
async def client(
    app: FastAPI,
    sessions: Sessions,
    store: Store,
    requested: set[tuple[str, str]],
) -> AsyncIterator[httpx2.AsyncClient]:
    """Speaks HTTP with the application, on this test's transaction."""
    app.state.sessions = sessions

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        async def answered(message: Message) -> None:
            # Whoever is sent away has not reached the route.
            if message.get("status", 401) != 401 and isinstance(route := scope.get("route"), APIRoute):
                requested.add((scope["method"], route.path))
            await send(message)

        await app(scope, receive, answered)

    transport = httpx2.ASGITransport(noting, raise_app_exceptions=False, client=(new_address(), 1))
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN, headers={"origin": ORIGIN}) as client:
        yield client


@pytest.fixture
async def user(db: AsyncSession) -> User:
    """Somebody with an account."""
    return await add_user(db)


@pytest.fixture
async def member(client: httpx2.AsyncClient, db: AsyncSession, user: User) -> httpx2.AsyncClient:
    """The client, signed in as `user` a moment ago."""
    client.cookies = await signed_in(db, user)
    return client


@pytest.fixture(scope="session")
def requested() -> set[tuple[str, str]]:
    """Method and path template of every route that tests reached; tests/test_routes.py finds the others."""
    return set()


@pytest.fixture
def queries(connection: AsyncConnection) -> Callable[[], AbstractContextManager[list[str]]]:
    """Count statements: `with queries() as sent: …; assert len(sent) == 1`. Savepoints do not count."""

    @contextmanager
    def counting() -> Iterator[list[str]]:
        sent: list[str] = []

        def note(conn, cursor, statement, *rest) -> None:
            if "SAVEPOINT" not in statement:
                sent.append(statement)

        event.listen(connection.sync_connection, "before_cursor_execute", note)
        try:
            yield sent
        finally:
            event.remove(connection.sync_connection, "before_cursor_execute", note)

    return counting
