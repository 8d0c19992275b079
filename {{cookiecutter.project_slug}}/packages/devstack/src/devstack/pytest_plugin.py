"""A pytest plug-in: one PostgreSQL and one Valkey per test run, and copies of a prepared database.

The servers start when a test first uses one of the fixtures. With pytest-xdist they start once, in the
controller, if a conftest.py implements the hook `pytest_devstack_prepare`; else once in each worker.
"""

import asyncio
import os
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from .errors import DevstackError
from .postgres import connect, delete_root_home, run_postgres
from .valkey import run_valkey

__all__ = ["Servers"]


class Servers(NamedTuple):
    """The servers of a test run."""

    database: str
    """URL of a PostgreSQL database. Its role may create other databases."""
    cache: str
    """URL of the Valkey server without a database number; append /0 to /63."""
    template: str
    """Name of the database that `pytest_devstack_prepare` has prepared and `new_database` copies."""


SERVERS = pytest.StashKey[Servers]()


class Hooks:
    """The hooks that a project can implement in its top-level conftest.py."""

    @pytest.hookspec
    def pytest_devstack_prepare(self, url: str) -> None:
        """Prepare the empty database at `url`, by migrating it for instance. Called once per test run."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks."""
    pluginmanager.add_hookspecs(Hooks)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    """Start the servers in the controller and pass their URLs to the worker."""
    config: pytest.Config = node.config
    if not config.hook.pytest_devstack_prepare.get_hookimpls():
        return
    if SERVERS not in config.stash:
        stack = ExitStack()
        config.add_cleanup(stack.close)
        try:
            config.stash[SERVERS] = _start_servers(config, stack)
        except DevstackError as error:
            raise pytest.UsageError(str(error)) from None
    node.workerinput["devstack"] = tuple(config.stash[SERVERS])


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """The PostgreSQL and the Valkey of this test run."""
    if started := getattr(request.config, "workerinput", {}).get("devstack"):
        yield Servers(*started)
        return
    with ExitStack() as stack:
        try:
            started = _start_servers(request.config, stack)
        except DevstackError as error:
            pytest.fail(str(error), pytrace=False)
        yield started


@pytest.fixture(scope="session")
def worker_number() -> int:
    """The number of this worker of pytest-xdist, 0 without it. It can select a cache database."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


@pytest.fixture(scope="session")
def new_database(servers: Servers, worker_number: int) -> Callable[[str], str]:
    """Copy the prepared database: `new_database("orders")` returns the URL of a copy for this worker."""

    def copy(name: str) -> str:
        database = f"{servers.template}_{worker_number}_{name}"
        _execute(
            servers.database, f'CREATE DATABASE "{database}" TEMPLATE "{servers.template}" STRATEGY file_copy'
        )
        return _with_path(servers.database, database)

    return copy


def _start_servers(config: pytest.Config, stack: ExitStack) -> Servers:
    """Start the servers that TEST_DATABASE_URL and TEST_REDIS_URL do not name; prepare the template."""
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="devstack-"))).resolve()
    template = f"test_{secrets.token_hex(4)}"
    if url := os.environ.get("TEST_DATABASE_URL"):
        database = url
    else:
        stack.callback(delete_root_home, folder / "postgres")
        database = stack.enter_context(run_postgres(folder / "postgres"))
    if url := os.environ.get("TEST_REDIS_URL"):
        cache = _with_path(url, "")
    else:
        cache = stack.enter_context(run_valkey(folder / "valkey"))
    _execute(database, f'CREATE DATABASE "{template}"')
    if "TEST_DATABASE_URL" in os.environ:
        stack.callback(_drop_databases, database, template)
    config.hook.pytest_devstack_prepare(url=_with_path(database, template))
    return Servers(database, cache, template)


def _drop_databases(url: str, prefix: str) -> None:
    for row in _execute(url, "SELECT datname FROM pg_database"):
        if row[0].startswith(prefix):
            _execute(url, f'DROP DATABASE "{row[0]}" WITH (FORCE)')


def _execute(url: str, statement: str) -> list[tuple]:
    """Execute a statement and return its rows. Uses a thread: the caller may run in an event loop."""

    async def execute() -> list[tuple]:
        connection = await connect("TEST_DATABASE_URL", url)
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, execute()).result()


def _with_path(url: str, path: str) -> str:
    return urlsplit(url)._replace(path=path and f"/{path}").geturl()
