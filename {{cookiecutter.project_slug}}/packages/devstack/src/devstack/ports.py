"""TCP ports on 127.0.0.1: is one free, which one does a folder get."""

import os
import socket
import sys
import tempfile
import zlib
from contextlib import ExitStack
from pathlib import Path

from .errors import Problem
from .files import locked

HOST = "127.0.0.1"


def in_use(port: int) -> bool:
    """Whether a server answers there, or the system refuses to give the port to us."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        if probe.connect_ex((HOST, port)) == 0:
            return True  # asked first: elsewhere than on Linux a bind beside a wildcard address succeeds
    with socket.socket() as test:
        if sys.platform != "win32":  # there the option means "take it from its owner"
            test.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else TIME_WAIT counts as in use
        try:
            test.bind((HOST, port))
        except OSError:
            return True
    return False


def free() -> int:
    """A port that nobody uses now."""
    with socket.socket() as test:
        test.bind((HOST, 0))
        return test.getsockname()[1]


def of_folder(folder: Path, service: str, fixed: int | None = None) -> int:
    """The same port for the same folder at every start, while nobody has it; if `fixed`, that or a Problem.

    The range lies below the one that systems take outgoing ports from.
    """
    if fixed:
        if in_use(fixed):
            raise Problem(f"{service.upper()}_PORT={fixed} is in use{holder(fixed)}.")
        return fixed
    port = 16384 + zlib.crc32(f"{folder.resolve()}:{service}".encode()) % 16000
    return free() if in_use(port) else port


def take(wanted: int | None, claims: ExitStack) -> int:
    """The port of the application: the wanted one (0: any), else 8000 or the next free one.

    A claim is kept until the end: servers share ports without an error (SO_REUSEPORT), so two projects that
    start in the same second would else both get 8000, and each half of the other's requests.
    """
    if wanted and not _claimed(wanted, claims):
        raise Problem(f"PORT={wanted} is in use{holder(wanted)}. Set another one, or 0 for any free port.")
    candidates = [wanted] if wanted else range(8000, 8100) if wanted is None else iter(free, None)
    for port in candidates:
        if port == wanted or _claimed(port, claims):
            return port
    raise Problem("The ports 8000 to 8099 are all in use. Set PORT, or PORT=0 for any free one.")


def holder(port: int) -> str:
    """Who listens there, as far as the system tells us: " by name (pid 12)" or nothing."""
    import psutil

    try:
        for found in psutil.net_connections("tcp"):
            if found.status == psutil.CONN_LISTEN and found.laddr[1:] == (port,) and found.pid:
                return f" by {psutil.Process(found.pid).name()} (pid {found.pid})"
    except psutil.Error:
        pass  # other people's processes are not shown everywhere
    return ""


def _claimed(port: int, claims: ExitStack) -> bool:
    if in_use(port):
        return False
    user = os.getuid() if sys.platform != "win32" else ""
    try:
        claims.enter_context(locked(Path(tempfile.gettempdir(), f"devstack-{user}-{port}.lock")))
    except OSError:
        return False
    return True
