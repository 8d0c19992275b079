"""The pytest plug-in: one pair of servers and one prepared database per run, with and without pytest-xdist."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from devstack import run_postgres, run_valkey

pytestmark = pytest.mark.slow

PREPARE = """
import asyncio, asyncpg, pathlib

def pytest_devstack_prepare(url):
    async def main():
        connection = await asyncpg.connect(url)
        await connection.execute("create table items (name text)")
        await connection.close()
    asyncio.run(main())
    with pathlib.Path("prepared").open("a") as file:
        file.write(url + "\\n")
"""

TESTS = """
import asyncio, asyncpg, os, pathlib, pytest, redis

@pytest.mark.parametrize("number", range(4))
def test_servers(number, servers, new_database, worker_number):
    url = new_database(f"copy{number}")
    assert url != servers.database

    async def main():
        connection = await asyncpg.connect(url)
        await connection.execute("insert into items values ($1)", "a")
        assert await connection.fetchval("select count(*) from items") == 1
        await connection.close()
        assert new_database(f"inside{number}") != url  # in a running event loop

    asyncio.run(main())
    with redis.Redis.from_url(f"{servers.cache}/{worker_number}") as client:
        assert client.ping()
    with pathlib.Path("seen").open("a") as file:
        file.write(f"{os.environ.get('PYTEST_XDIST_WORKER')} {servers.database} {servers.cache}\\n")
"""

WITHOUT_PLUGINS = [
    part
    for name in ("anyio", "asyncio", "cacheprovider", "hypothesispytest", "schemathesis", "valkey")
    for part in ("-p", f"no:{name}")
]
"""They are installed with the project, and take seconds to import."""

NO_WHEELS = """
from devstack import launch
launch.find_spec = lambda name: None
"""


class Run:
    """A test run in a folder, with a temporary folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.temporary = folder, folder / "tmp"
        self.temporary.mkdir()
        (folder / "pytest.ini").write_text("[pytest]\n")

    def __call__(self, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        unset = ("PYTEST_", "TEST_DATABASE_URL", "TEST_REDIS_URL")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(unset)}
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-W", "error", *WITHOUT_PLUGINS, *options],
            cwd=self.folder,
            env={**inherited, "TMPDIR": str(self.temporary), **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def lines(self, name: str) -> list[str]:
        return (self.folder / name).read_text().splitlines()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "conftest.py").write_text(PREPARE)
    (tmp_path / "test_it.py").write_text(TESTS)
    return Run(tmp_path)


def is_listening(url: str) -> bool:
    with socket.socket() as client:
        return client.connect_ex((urlsplit(url).hostname, urlsplit(url).port)) == 0


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_one_pair_of_servers_is_prepared_once_and_stopped_at_the_end(run: Run, options):
    result = run(*options)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "4 passed" in result.stdout
    assert len(run.lines("prepared")) == 1
    seen = [line.split() for line in run.lines("seen")]
    assert {worker for worker, *_ in seen} == ({"gw0", "gw1"} if options else {"None"})
    assert len({database for _, database, _ in seen}) == 1
    assert len({cache for *_, cache in seen}) == 1
    assert not is_listening(seen[0][1])
    assert not is_listening(seen[0][2])
    assert not list(run.temporary.glob("devstack-*"))


@pytest.mark.parametrize("options", [(), ("--collect-only",), ("--collect-only", "-n", "2")])
def test_no_server_starts_unless_a_test_that_needs_one_runs(run: Run, options):
    if not options:
        (run.folder / "test_it.py").write_text("def test_nothing(): pass\n")
    result = run(*options)
    assert result.returncode == 0, result.stdout + result.stderr
    assert not (run.folder / "prepared").exists()


def test_without_the_hook_each_worker_starts_its_own_servers(run: Run):
    (run.folder / "conftest.py").unlink()
    (run.folder / "test_it.py").write_text(
        TESTS.replace(
            "await connection.execute(",
            'await connection.execute("create table items (name text)")\n        await connection.execute(',
        )
    )
    result = run("-n", "2")
    assert result.returncode == 0, result.stdout + result.stderr
    seen = {tuple(line.split()) for line in run.lines("seen")}
    assert len({database for _, database, _ in seen}) == len({worker for worker, *_ in seen}) == 2
    assert not any(is_listening(database) for _, database, _ in seen)


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_given_servers_are_used_and_left_without_test_databases(run: Run, tmp_path: Path, options):
    with run_postgres(tmp_path / "postgres") as database, run_valkey(tmp_path / "valkey") as cache:
        result = run(*options, TEST_DATABASE_URL=database, TEST_REDIS_URL=f"{cache}/0")
        assert result.returncode == 0, result.stdout + result.stderr
        assert {tuple(line.split()[1:]) for line in run.lines("seen")} == {(database, cache)}

        async def databases() -> set[str]:
            connection = await asyncpg.connect(database)
            rows = await connection.fetch("select datname from pg_database")
            await connection.close()
            return {row[0] for row in rows}

        assert asyncio.run(databases()) == {"app", "postgres", "template0", "template1"}


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_an_unreachable_server_is_an_error_that_names_the_variable(run: Run, options):
    result = run(*options, TEST_DATABASE_URL="postgresql://app:secret@127.0.0.1:1/app", TEST_REDIS_URL="redis://x")
    assert result.returncode != 0
    output = result.stdout + result.stderr
    assert "TEST_DATABASE_URL: cannot connect" in output
    assert "secret" not in output
    assert "Traceback" not in output


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have more places to look for a server")
@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_missing_servers_are_an_error_that_says_what_to_do(run: Run, options):
    (run.folder / "conftest.py").write_text(PREPARE + NO_WHEELS)
    result = run(*options, PATH="")
    assert result.returncode != 0
    output = result.stdout + result.stderr
    assert "for this machine. To fix this, do one of the following" in output
    assert "run `uv sync` with the dependency group `embedded`" in output
    assert "TEST_REDIS_URL" in output or "TEST_DATABASE_URL" in output
    assert "Traceback" not in output
    assert "INTERNALERROR" not in output
