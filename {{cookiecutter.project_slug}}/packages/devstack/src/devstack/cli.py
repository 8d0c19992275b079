"""`dev`: PostgreSQL, Valkey, migrations and the application in one command; Ctrl-C stops everything."""

import asyncio
import os
import shutil
import signal
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

from . import launch, ports, rootless
from .errors import Problem
from .files import locked, private, state
from .project import Project
from .supervisor import Supervisor
from .terminal import Terminal

USAGE = """\
usage: dev [--reset]

Runs this project: PostgreSQL, Valkey, migrations, the application; Ctrl-C stops everything.

  --reset   first delete the local data (the folder .dev); asks, unless --yes is given too

Settings (environment or .env):
  PORT                          of the application; 0: any free one; default 8000 or the next free one
  DATABASE_URL, REDIS_URL,      servers to use instead of starting some
  CELERY_BROKER_URL
  POSTGRES_PORT, VALKEY_PORT    fixed ports of the servers that are started
"""


def main() -> None:
    """Run until SIGINT or SIGTERM (exit code 0), or until a Problem (1)."""
    arguments = set(sys.argv[1:])
    if arguments - {"--reset", "--yes"}:
        print(USAGE, end="")
        sys.exit(0 if arguments & {"-h", "--help"} else 2)
    try:
        project = Project(Path.cwd())
        terminal = Terminal([row.name for row in project.rows])
        with ExitStack() as claims:
            _lock(project, claims)
            if "--reset" in arguments and not _reset(project, sure="--yes" in arguments):
                sys.exit(1)
            port = ports.take(project.port("PORT"), claims)
            if port != 8000 and project.port("PORT") is None:
                terminal.step("dev", f"port 8000 is in use{ports.holder(8000)}; taking {port}")
            project.given["PORT"] = str(port)
            private(project.state / "running", f"http://{ports.HOST}:{port} (pid {os.getpid()})")
            asyncio.run(_supervise(Supervisor(project, terminal)))
    except Problem as problem:
        sys.exit(f"\nerror: {problem}")
    except OSError as error:  # a full disk, a folder that became read-only
        sys.exit(f"\nerror: {error.strerror or error}: {error.filename or 'writing'}")
    except KeyboardInterrupt:  # before the first child
        pass


def _lock(project: Project, claims: ExitStack) -> None:
    """Be the only `dev` of this folder, and end what a killed one has left."""
    folder = state(project.state)
    try:
        claims.enter_context(locked(folder / "lock"))
    except BlockingIOError:
        running = folder / "running"
        where = running.read_text() if running.exists() else "it is starting"
        raise Problem(f"`dev` runs in this folder already: {where}") from None
    claims.callback((folder / "running").unlink, missing_ok=True)
    for row in project.rows:
        pid_file = folder / f"{row.name}.pid"
        if pid_file.exists():
            launch.reap(int(pid_file.read_text() or 0), project.folder)
            pid_file.unlink()


def _reset(project: Project, *, sure: bool) -> bool:
    """Delete the local data, if the person says so."""
    if not sure and input(f"Delete all local data in {project.state}? [y/N] ").strip().lower() != "y":
        return False
    for path in project.state.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    rootless.forget(project.state)
    return True


async def _supervise(supervisor: Supervisor) -> None:
    """Run until a signal; a second one while stopping kills everything."""
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            supervisor.kill()
        stopping.set()

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if number := getattr(signal, name, None):
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
    work = asyncio.create_task(supervisor.run())
    watches = [asyncio.create_task(stopping.wait()), asyncio.create_task(_parent_gone())]
    await asyncio.wait([work, *watches], return_when=asyncio.FIRST_COMPLETED)
    for task in [work, *watches]:
        task.cancel()
    try:
        await asyncio.gather(work, return_exceptions=True)
    finally:
        await supervisor.close()
    if not work.cancelled():
        work.result()


async def _parent_gone() -> None:
    """Return when `uv run` is killed, which then cannot tell us. Any other parent may leave us running."""
    import psutil

    parent, name = os.getppid(), ""
    with suppress(psutil.Error):  # not to be seen from inside a container
        name = psutil.Process(parent).name()
    if name not in ("uv", "uv.exe"):
        await asyncio.Event().wait()
    while os.getppid() == parent:  # noqa: ASYNC110 (no event tells it)
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    main()
