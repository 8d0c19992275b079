"""TCP ports on 127.0.0.1: is one free, which one does a folder get."""

import os
import socket
import sys
import zlib
from pathlib import Path

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


def of_folder(folder: Path, service: str) -> int:
    """The same port for the same folder at every start, while nobody else has it.

    `POSTGRES_PORT`, `VALKEY_PORT` fix it. The range lies below the one systems take outgoing ports from.
    """
    if fixed := os.environ.get(f"{service.upper()}_PORT"):
        return int(fixed)
    port = 16384 + zlib.crc32(f"{folder.resolve()}:{service}".encode()) % 16000
    return free() if in_use(port) else port
