"""Files of the state folder: secrets, locks, the ends of logs."""

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

from .errors import Problem


def private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step: nobody ever sees a half of it."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


def secret(path: Path) -> str:
    """The password kept in this file; made at first use."""
    if not path.exists():
        private(path, secrets.token_urlsafe(24))
    return path.read_text()


def last_lines(text: str, count: int = 8) -> str:
    """The end of some output, as an error message quotes it."""
    return "\n".join(f"  {line}" for line in text.strip().splitlines()[-count:])


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file as long as the block runs; BlockingIOError if another process does.

    The system lets go of it when the holder dies, however it dies.
    """
    with path.open("a+") as file:
        if sys.platform == "win32":
            import msvcrt

            try:
                file.seek(1 << 20)  # a byte that does not exist: the text stays readable for others
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            except OSError:
                raise BlockingIOError from None
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def state(folder: Path) -> Path:
    """The state folder, made if need be; Problem if it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"probe.{os.getpid()}"
        probe.write_text("x" * 4096)
        probe.unlink()
    except OSError as error:
        raise Problem(f"Cannot write to {folder}: {error.strerror}.") from None
    return folder.resolve()
