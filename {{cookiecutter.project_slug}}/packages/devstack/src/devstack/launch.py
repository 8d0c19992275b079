"""Find, start and end programs, so that no child outlives the process that started it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Literal

from .errors import DevstackError

RunAs = Literal["self", "namespace", "nobody"]
"""The user a child runs as: ours, root mapped to "nobody" in a user namespace, or the real user nobody."""

NOBODY = 65534
PR_SET_PDEATHSIG, CLONE_NEWUSER = 1, 0x10000000  # linux/prctl.h, linux/sched.h

NOT_FOUND = """No {server} for this machine. To fix this, do one of the following:
  - on Linux (glibc) or macOS: run `uv sync` with the dependency group `embedded`, which installs one
  - install {server} with the system's package manager
  - set {variable} (for tests: TEST_{variable}) to the URL of a running server{windows}"""


def in_wheel(package: str, pattern: str) -> list[Path]:
    """Return matching files of a package, if it is installed. Does not import it: that has side effects."""
    spec = find_spec(package)
    return list(Path(spec.origin).parent.glob(pattern)) if spec and spec.origin else []


def on_path(*names: str) -> list[Path]:
    """Return the programs with these names that are on PATH."""
    return [Path(found).resolve() for name in names if (found := shutil.which(name))]


def first_program(server: str, variable: str, candidates: list[Path]) -> Path:
    """Return the first candidate that exists. Raises DevstackError that suggests to set `variable`."""
    for path in candidates:
        if path.is_file():
            return path
    windows = "\n  - on Windows: run the project inside WSL2" if sys.platform == "win32" else ""
    raise DevstackError(NOT_FOUND.format(server=server, variable=variable, windows=windows))


def popen_options(stop: signal.Signals = signal.SIGTERM, run_as: RunAs = "self") -> dict[str, Any]:
    """Return arguments for Popen: a new process group, and the signal `stop` for the child when we die.

    Ctrl-C therefore reaches only us. Linux sends the signal when the *thread* that started the child ends, so
    start children in the main thread. Other systems have no such signal; there the next start calls `reap`.
    """
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    options: dict[str, Any] = {"process_group": 0}
    if run_as == "nobody":
        options |= {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    if sys.platform == "linux":
        import ctypes

        libc, parent = ctypes.CDLL(None), os.getpid()

        def in_child() -> None:
            if run_as == "namespace":
                if libc.unshare(CLONE_NEWUSER):
                    os._exit(126)  # not permitted; an exception would reach the parent without its cause
                for name, text in ("setgroups", "deny"), ("uid_map", "65534 0 1"), ("gid_map", "65534 0 1"):
                    Path("/proc/self", name).write_text(text)
            libc.prctl(PR_SET_PDEATHSIG, stop)  # after a change of user, which clears it
            if os.getppid() != parent:  # the parent died before the prctl call
                os._exit(1)

        options["preexec_fn"] = in_child
    return options


def start(
    command: Sequence[str | Path],
    output: IO[bytes] | int,
    stop: signal.Signals = signal.SIGTERM,
    run_as: RunAs = "self",
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Start a command. Its standard output and standard error both go to `output`."""
    with warnings.catch_warnings():
        # Python 3.12 warns about fork() while threads run. Between fork and exec we only make system calls.
        warnings.simplefilter("ignore", DeprecationWarning)
        options = {"stdin": subprocess.DEVNULL, **options, **popen_options(stop, run_as)}
        return subprocess.Popen[bytes](command, stdout=output, stderr=subprocess.STDOUT, **options)


def reap(pid_file: Path, folder: Path, stop: signal.Signals = signal.SIGTERM, timeout: float = 10) -> None:
    """End the process group of an earlier run: send `stop`, then SIGKILL after `timeout` seconds.

    Reads the pid from the first line of a file, and deletes the file. The system may have given the pid to
    another program: only processes that work in `folder` are ended.
    """
    if not pid_file.exists():
        return
    import psutil

    pid = int((pid_file.read_text().split() or ["0"])[0])

    def members() -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                in_group = process.pid == pid or (sys.platform != "win32" and os.getpgid(process.pid) == pid)
                if in_group and Path(process.cwd()) == folder and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    deadline = time.monotonic() + timeout
    while left := members():
        for process in left:
            with contextlib.suppress(psutil.Error):
                if sys.platform != "win32" and time.monotonic() < deadline:
                    process.send_signal(stop)
                else:
                    process.kill()
        psutil.wait_procs(left, timeout=0.2)
    pid_file.unlink(missing_ok=True)


def kill_group(pid: int) -> None:
    """Kill a process and its children at once."""
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        return
    import psutil

    with contextlib.suppress(psutil.Error):
        leader = psutil.Process(pid)
        for process in [*leader.children(recursive=True), leader]:
            process.kill()
