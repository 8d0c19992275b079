"""What a project owns on this machine: its state folder with passwords and locks, and its TCP ports."""

import contextlib
import os
import secrets
import socket
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address
from pathlib import Path

from .errors import DevstackError

HOST = "127.0.0.1"
ANY_HOST = "0.0.0.0"  # noqa: S104 (only if the settings say so)


def create_folder(folder: Path) -> Path:
    """Create the state folder if it does not exist. Raises DevstackError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DevstackError(f"Cannot create {folder}: {error.strerror}.") from None
    return folder.resolve()


def write_private(path: Path, text: str) -> None:
    """Write a file atomically, readable by its owner only."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def read_password(path: Path) -> str:
    """Return the password stored in a file, after creating both if the file does not exist."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(24))
    return path.read_text()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file during the block. Raises BlockingIOError if another process holds it.

    The operating system releases the lock when its holder dies, even by SIGKILL.
    """
    with path.open("a+") as file:
        if sys.platform == "win32":
            import msvcrt

            try:
                file.seek(1 << 20)  # lock a byte beyond the text, which stays readable for others
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            except OSError:
                raise BlockingIOError from None
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def is_own_address(text: str) -> bool:
    """Whether the text is an IPv4 address that a server can listen on here."""
    try:
        with socket.socket() as test:
            test.bind((str(IPv4Address(text)), 0))
            test.listen()
    except (OSError, ValueError):
        return False
    return True


def free_port() -> int:
    """Return a TCP port that is free now."""
    with socket.socket() as test:
        test.bind((HOST, 0))
        return test.getsockname()[1]


def port_for(folder: Path, service: str, fixed: int | None = None) -> int:
    """Return a port derived from the folder: the same at each start, unless it is taken.

    If `fixed` is given, return that, or raise DevstackError if it is in use. The derived ports lie below the
    range from which operating systems take ports for outgoing connections.
    """
    if fixed:
        if _is_in_use(fixed):
            raise DevstackError(f"{service.upper()}_PORT={fixed} is in use{describe_owner(fixed)}.")
        return fixed
    port = 16384 + zlib.crc32(f"{folder.resolve()}:{service}".encode()) % 16000
    return free_port() if _is_in_use(port) else port


def claim_port(wanted: int | None, claims: ExitStack, host: str = HOST) -> int:
    """Return a port for the application: `wanted` (0: any free one), by default 8000 or the next free one.

    The claim is a lock that is held until `claims` is closed. Without it, two projects started in the same
    second could share a port (servers set SO_REUSEPORT), and each would get half of the other's requests.
    """
    if wanted:
        if not _claim(wanted, claims, host):
            raise DevstackError(
                f"PORT={wanted} is in use{describe_owner(wanted)}. Set another port, or 0 for any free one."
            )
        return wanted
    for port in range(8000, 8100) if wanted is None else iter(free_port, None):
        if _claim(port, claims, host):
            return port
    raise DevstackError("Ports 8000 to 8099 are all in use. Set PORT, or PORT=0 for any free port.")


def describe_owner(port: int) -> str:
    """Return " by <program> (pid <number>)" for the process that listens on the port, or "" if unknown."""
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
            if listens and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass  # some systems hide the processes of other users
    return ""


def _is_in_use(port: int, host: str = HOST) -> bool:
    # Try to connect first: except on Linux, binding succeeds beside a server on the wildcard address.
    with socket.socket() as client:
        client.settimeout(0.2)
        if client.connect_ex((host, port)) == 0:
            return True
    with socket.socket() as server:
        if sys.platform != "win32":  # on Windows this option would take the port from its owner
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignore connections in TIME_WAIT
        try:
            server.bind((host, port))
        except OSError:
            return True
    return False


def _claim(port: int, claims: ExitStack, host: str) -> bool:
    if _is_in_use(port, host):
        return False
    user = os.getuid() if sys.platform != "win32" else ""
    try:
        claims.enter_context(locked(Path(tempfile.gettempdir(), f"devstack-{user}-{port}.lock")))
    except OSError:
        return False
    return True
