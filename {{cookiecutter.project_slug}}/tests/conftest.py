"""Fixtures on real servers: a migrated database per run, and each test in a transaction that is rolled back.

The plug-in `devstack` starts PostgreSQL and Valkey, once per run, and provides `servers` and `new_database`.
"""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager
from pathlib import Path
from typing import cast

import httpx2
import pytest
from alembic import command
from alembic.config import Config
from devstack.pytest_plugin import Servers
from fastapi import FastAPI
from fastapi.routing import APIRoute
from redis.asyncio import Redis
from saaskit import cache, upstream
from saaskit.db import Sessionmaker, create_engine
from saaskit.oauth import OAuthProviders
from saaskit.ratelimit import RateLimiter
from saaskit.settings import UpstreamSettings
from saaskit.testing import cheap_password_hashes, closed_upstreams
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.accounts.models import User
from app.main import create_app
from app.settings import Settings
from app.state import State
from tests.factories import add_user, new_ip, sign_in

ROOT = Path(__file__).parent.parent
ORIGIN = "https://test"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run the slow tests, too")


def _is_partial(config: pytest.Config) -> bool:
    """Whether the command line names tests."""
    return bool(config.option.keyword) or config.args != config.getini("testpaths")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip files of slow tests before they are imported: that alone takes seconds."""
    if collection_path.suffix != ".py" or _is_partial(config) or config.option.all:
        return None
    return "\npytestmark = pytest.mark.slow\n" in collection_path.read_text(encoding="utf-8") or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip slow tests unless `--all` is given or they are named. Run those marked `last` after all others."""
    partial = _is_partial(config)
    slow = set() if partial or config.option.all else {i for i in items if i.get_closest_marker("slow")}
    last = [item for item in items if item.get_closest_marker("last")]
    kept = [] if partial or hasattr(config, "workerinput") else last  # otherwise they could only fail
    config.hook.pytest_deselected(items=[item for item in items if item in slow])
    items[:] = [item for item in items if item not in last and item not in slow] + kept


def pytest_devstack_prepare(url: str) -> None:
    """Migrate the database that each run copies."""
    alembic = Config(toml_file=ROOT / "pyproject.toml")
    alembic.attributes["url"] = url
    command.upgrade(alembic, "head")


@pytest.fixture(scope="session")
def settings(servers: Servers, new_database: Callable[[str], str], worker_number: int) -> Iterator[Settings]:
    """Settings for this run's servers. Neither the developer's environment nor `.env` is read."""
    with pytest.MonkeyPatch.context() as environment:
        for name in os.environ:
            if name.lower().partition("__")[0] in Settings.model_fields:
                environment.delenv(name)
        yield Settings(
            _env_file=None,  # type: ignore[call-arg]
            environment="test",
            product_name="Acme",
            public_url=ORIGIN,
            database_url=new_database("app"),
            redis_url=f"{servers.cache}/{worker_number}",
            log_level="warning",
        )


@pytest.fixture(scope="session", autouse=True)
def _cheap_password_hashes() -> Iterator[None]:
    with cheap_password_hashes():
        yield


@pytest.fixture(scope="session")
def app(settings: Settings) -> FastAPI:
    """The application, created as in production."""
    return create_app(settings)


@pytest.fixture(scope="session")
async def connection(settings: Settings) -> AsyncIterator[AsyncConnection]:
    """The database connection that all tests share."""
    engine = create_engine(settings.database_url, pool_size=1)
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


@pytest.fixture
async def sessionmaker(connection: AsyncConnection) -> AsyncIterator[Sessionmaker]:
    """Opens sessions in one transaction that is rolled back: a commit of the code only ends a savepoint."""
    transaction = await connection.begin()
    yield async_sessionmaker(connection, join_transaction_mode="create_savepoint", expire_on_commit=False)
    await transaction.rollback()


@pytest.fixture
async def db(sessionmaker: Sessionmaker) -> AsyncIterator[AsyncSession]:
    """A session to arrange and inspect rows. Commit what a request must see."""
    async with sessionmaker() as session:
        yield session


@pytest.fixture
def upstreams(app: FastAPI) -> dict[str, UpstreamSettings]:
    """Every upstream refuses connections. A test file overrides this with servers of its own."""
    return closed_upstreams()


@pytest.fixture(scope="session")
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    """The server of the cache and of the rate limits."""
    async with Redis.from_url(settings.redis_url) as redis:
        yield redis


@pytest.fixture
async def state(
    settings: Settings, sessionmaker: Sessionmaker, redis: Redis, upstreams: dict[str, UpstreamSettings]
) -> AsyncIterator[State]:
    """The application's resources, on this test's transaction. The cache is emptied afterwards."""
    # A busy machine must not look like a missing server, without which limits hold per process.
    rate_limiter = RateLimiter(settings.redis_url, timeout=10)
    settings = settings.model_copy(update={"upstreams": upstreams})
    async with cache.connect(settings.redis_url), upstream.connect(settings):
        yield State(
            settings=settings,
            sessionmaker=sessionmaker,
            autocommit_engine=cast(AsyncEngine, sessionmaker),
            rate_limiter=rate_limiter,
            oauth=OAuthProviders(settings.all_providers, redirect_uri=settings.oauth_redirect_uri),
        )
    await rate_limiter.aclose()
    await redis.flushdb()


class Browser(httpx2.AsyncClient):
    """An HTTP client whose requests come from the IP address `ip`."""

    ip: str = ""


NewClient = Callable[..., Browser]


@pytest.fixture
async def new_client(app: FastAPI, state: State, requested: set[tuple[str, str]]) -> AsyncIterator[NewClient]:
    """Create browsers: `new_client()` has an IP address of its own, `new_client(ip=…)` the given one."""
    async with AsyncExitStack() as stack:

        def create(ip: str = "", app: ASGIApp = app) -> Browser:
            async def connected(scope: Scope, receive: Receive, send: Send) -> None:
                async def note_and_send(message: Message) -> None:
                    # With 401 the request has not reached the handler.
                    route = scope.get("route")
                    if message.get("status", 401) != 401 and isinstance(route, APIRoute):
                        requested.add((scope["method"], route.path))
                    await send(message)

                scope["state"] = dict(state)  # the lifespan adds it in production
                scope["client"] = (browser.ip, 1)
                await app(scope, receive, note_and_send)

            transport = httpx2.ASGITransport(connected, raise_app_exceptions=False)
            browser = Browser(transport=transport, base_url=ORIGIN, headers={"origin": ORIGIN})
            browser.ip = ip or new_ip()
            stack.push_async_callback(browser.aclose)
            return browser

        yield create


@pytest.fixture
async def client(new_client: NewClient) -> Browser:
    """A browser in which no one is signed in."""
    return new_client()


@pytest.fixture
async def user(db: AsyncSession) -> User:
    """A user account."""
    return await add_user(db)


@pytest.fixture
async def signed_in_client(new_client: NewClient, db: AsyncSession, user: User) -> Browser:
    """A browser in which `user` has just signed in."""
    client = new_client()
    client.cookies = await sign_in(db, user)
    return client


@pytest.fixture(scope="session")
def requested() -> set[tuple[str, str]]:
    """Method and path template of the routes that tests have requested, for tests/test_routes.py."""
    return set()


@pytest.fixture
def queries(connection: AsyncConnection) -> Callable[[], AbstractContextManager[list[str]]]:
    """Collect statements: `with queries() as sent: …; assert len(sent) == 1`. Savepoints are left out."""

    @contextmanager
    def collect() -> Iterator[list[str]]:
        sent: list[str] = []

        def note(conn, cursor, statement, *rest) -> None:
            if "SAVEPOINT" not in statement:
                sent.append(statement)

        event.listen(connection.sync_connection, "before_cursor_execute", note)
        try:
            yield sent
        finally:
            event.remove(connection.sync_connection, "before_cursor_execute", note)

    return collect
