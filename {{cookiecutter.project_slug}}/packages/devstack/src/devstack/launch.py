"""How a child process starts so that it never outlives us, and how the orphan of an earlier run is ended."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Literal

# Who the child is: our user; root that looks like "nobody" to the child itself; the real user nobody.
Identity = Literal["self", "namespace", "nobody"]
NOBODY = 65534
PR_SET_PDEATHSIG, CLONE_NEWUSER = 1, 0x10000000  # linux/prctl.h, linux/sched.h


def options(stop: signal.Signals = signal.SIGTERM, identity: Identity = "self") -> dict[str, Any]:
    """Arguments for Popen: an own process group (^C reaches only us), and `stop` for the child when we die.

    The kernel ties the latter to the *thread* that starts the child: start children in the main thread only.
    Other systems than Linux do not have it; there `reap` ends the orphan at the next start.
    """
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    kwargs: dict[str, Any] = {"process_group": 0}
    if identity == "nobody":
        kwargs |= {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    if sys.platform == "linux":
        import ctypes

        libc, parent = ctypes.CDLL(None), os.getpid()

        def in_child() -> None:
            if identity == "namespace":
                if libc.unshare(CLONE_NEWUSER):
                    os._exit(126)  # forbidden; an exception would reach the parent without its reason
                for name, text in ("setgroups", "deny"), ("uid_map", "65534 0 1"), ("gid_map", "65534 0 1"):
                    Path("/proc/self", name).write_text(text)
            libc.prctl(PR_SET_PDEATHSIG, stop)  # after any change of user, which clears it
            if os.getppid() != parent:  # we died in between
                os._exit(1)

        kwargs["preexec_fn"] = in_child
    return kwargs


def start(
    command: Sequence[str | Path],
    output: IO[bytes] | int,
    stop: signal.Signals = signal.SIGTERM,
    identity: Identity = "self",
    **kwargs: Any,
) -> subprocess.Popen[bytes]:
    """Start a command with both of its outputs going to `output`."""
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork while threads run. Between fork and exec ours makes system calls only.
        warnings.simplefilter("ignore", DeprecationWarning)
        kwargs = {"stdin": subprocess.DEVNULL, **kwargs, **options(stop, identity)}
        return subprocess.Popen[bytes](command, stdout=output, stderr=subprocess.STDOUT, **kwargs)


def reap(pid: int, folder: Path, stop: signal.Signals = signal.SIGTERM, patience: float = 10) -> bool:
    """End the process group of an earlier run, if it is still ours: a member works in `folder`.

    A pid in a file may belong to a stranger by now; strangers are left alone. True if something was ended.
    """
    import psutil

    def ours() -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                in_group = process.pid == pid or (sys.platform != "win32" and os.getpgid(process.pid) == pid)
                if in_group and Path(process.cwd()) == folder and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    ended = False
    deadline = time.monotonic() + patience
    while members := ours():
        for member in members:
            with contextlib.suppress(psutil.Error):
                gently = sys.platform != "win32" and time.monotonic() < deadline
                member.send_signal(stop) if gently else member.kill()
        psutil.wait_procs(members, timeout=0.2)
        ended = True
    return ended


def kill_tree(pid: int) -> None:
    """End a process and all below it, where there are no process groups."""
    import psutil

    with contextlib.suppress(psutil.Error):
        leader = psutil.Process(pid)
        for process in [*leader.children(recursive=True), leader]:
            process.kill()
