"""`dev`: run the servers, the migrations and the processes of a project; Ctrl-C stops everything."""

import asyncio
import os
import shutil
import signal
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

from . import launch, postgres, state
from .environment import stale_environment
from .errors import DevstackError
from .output import Terminal
from .project import Project
from .supervisor import Supervisor

USAGE = """\
usage: dev [--reset [--yes]]

Runs this project: PostgreSQL, Valkey, migrations, the application. Ctrl-C stops everything.

  --reset   delete the local data (the folder .dev) first; asks for confirmation, unless --yes is given

Settings (environment or .env):
  PORT                          port of the application; 0: any free port; default: 8000 or the next free port
  HOST                          address of the application; 0.0.0.0: all of this machine; default: 127.0.0.1
  DATABASE_URL, REDIS_URL,      servers to use instead of starting them
  CELERY_BROKER_URL
  POSTGRES_PORT, VALKEY_PORT    fixed ports for the servers that are started
"""


def main() -> None:
    """Run until SIGINT or SIGTERM (exit code 0) or until an error (exit code 1)."""
    arguments = set(sys.argv[1:])
    if arguments - {"--reset", "--yes"}:
        print(USAGE, end="")
        sys.exit(0 if arguments & {"-h", "--help"} else 2)
    try:
        project = Project(Path.cwd())
        terminal = Terminal([config.name for config in project.processes])
        with ExitStack() as claims:
            _lock(project, claims)
            if "--reset" in arguments and not _reset(project, confirmed="--yes" in arguments):
                sys.exit(1)
            if problem := stale_environment(project.folder):
                terminal.step("dev", problem)
            project.host = project.host_setting()
            port = state.claim_port(project.port("PORT"), claims, project.host)
            if port != 8000 and project.port("PORT") is None:
                terminal.step("dev", f"port 8000 is in use{state.describe_owner(8000)}; using port {port}")
            project.defaults["PORT"] = str(port)
            state.write_private(
                project.state / "running", f"http://{project.host}:{port} (pid {os.getpid()})"
            )
            asyncio.run(_run(Supervisor(project, terminal)))
    except (DevstackError, OSError) as error:  # OSError: for example a full disk or a read-only folder
        sys.exit(f"\nerror: {error}")
    except KeyboardInterrupt:  # before the signal handlers are installed
        pass


def _lock(project: Project, claims: ExitStack) -> None:
    """Make sure that no other `dev` runs here, and end the processes that a killed one left behind."""
    folder = state.create_folder(project.state)
    try:
        claims.enter_context(state.locked(folder / "lock"))
    except BlockingIOError:
        running = folder / "running"
        where = running.read_text() if running.exists() else "it is starting"
        raise DevstackError(f"`dev` is already running in this folder: {where}") from None
    claims.callback((folder / "running").unlink, missing_ok=True)
    for config in project.processes:
        launch.reap(folder / f"{config.name}.pid", project.folder)


def _reset(project: Project, *, confirmed: bool) -> bool:
    """Delete the local data after confirmation. Returns False if the user declines."""
    if not confirmed and input(f"Delete all local data in {project.state}? [y/N] ").strip().lower() != "y":
        return False
    for path in project.state.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    postgres.delete_root_home(project.state)
    return True


async def _run(supervisor: Supervisor) -> None:
    """Run until a signal; a second signal kills everything without waiting."""
    loop = asyncio.get_running_loop()
    running = asyncio.create_task(supervisor.run())
    uv_exit = asyncio.create_task(_wait_for_uv_exit())

    def stop() -> None:
        if running.cancelling() or running.done():
            supervisor.kill()
        running.cancel()

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if number := getattr(signal, name, None):
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
    await asyncio.wait([running, uv_exit], return_when=asyncio.FIRST_COMPLETED)
    uv_exit.cancel()
    running.cancel()
    await asyncio.wait([running])
    await supervisor.close()
    if not running.cancelled():
        running.result()


async def _wait_for_uv_exit() -> None:
    """Return when our parent is `uv run` and is killed: it cannot pass that signal on to us."""
    import psutil

    parent, name = os.getppid(), ""
    with suppress(psutil.Error):  # the parent may be outside our container
        name = psutil.Process(parent).name()
    if name not in ("uv", "uv.exe"):
        await asyncio.Event().wait()
    while os.getppid() == parent:  # noqa: ASYNC110 (there is no event to wait for)
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    main()
