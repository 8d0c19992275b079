"""The order of `dev`: servers, migrations, the application, other processes, restarts after changes."""

import asyncio
import contextlib
import socket
import time
from importlib.util import cache_from_source
from pathlib import Path
from urllib.parse import urlsplit

from . import state
from .errors import DevstackError
from .migrations import prepare_database
from .output import Terminal
from .postgres import Postgres
from .process import ManagedProcess, Service
from .project import ProcessConfig, Project, ProjectProcess
from .valkey import Valkey

URLS = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "SMTP_URL", "LOCAL_PROVIDER")
SHARED = ("ENVIRONMENT", "PORT", *URLS)
"""The variables in `.dev/urls.env`, for commands in other terminals."""

SERVER_STOP_TIMEOUT = 10.0


class Supervisor:
    """Runs the project until `run` is cancelled; `close` stops everything. Call both in the main thread."""

    def __init__(self, project: Project, terminal: Terminal) -> None:
        self.project, self.terminal = project, terminal
        self.servers: list[ManagedProcess] = []
        self.processes: list[ManagedProcess] = []
        self.shared_file = project.state / "urls.env"

    async def run(self) -> None:
        """Start everything, print the addresses, keep it running. Raises DevstackError if the start fails."""
        try:
            async with asyncio.TaskGroup() as self.tasks:
                await self._start()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _start(self) -> None:
        began = time.monotonic()
        services = [ProjectProcess(self.project, config) for config in self.project.processes]
        for service in services:
            service.prepare()  # reports a missing program before anything starts
        embedded = await self._start_servers()
        environment = self.project.environment()
        state.write_private(self.shared_file, "".join(f"{name}={environment[name]}\n" for name in SHARED))
        await prepare_database(self.project, self.terminal, embedded=embedded)
        application = self._run(services[0], self.processes)
        self._watch_files()
        await application.was_ready.wait()
        for process in [self._run(service, self.processes) for service in services[1:]]:
            await process.was_ready.wait()
        self._print_summary(time.monotonic() - began)

    async def close(self) -> None:
        """Stop everything, the servers last. Call this when `run` has ended."""
        began = time.monotonic()
        await asyncio.gather(*(process.stop() for process in self.processes))
        await asyncio.gather(*(server.stop(SERVER_STOP_TIMEOUT) for server in self.servers))
        self.shared_file.unlink(missing_ok=True)
        self.terminal.step("dev", "stopped", time.monotonic() - began)

    def kill(self) -> None:
        """Kill everything at once."""
        for process in self.processes + self.servers:
            process.kill()

    async def _start_servers(self) -> bool:
        """Start the servers that the settings do not name, and set the default URLs of all.

        Returns whether PostgreSQL is one of them.
        """
        project, settings, defaults = self.project, self.project.settings(), self.project.defaults
        postgres = valkey = None
        if url := settings.get("DATABASE_URL"):
            host = _check_connection("DATABASE_URL", url, 5432)
            self.terminal.step("postgres", f"using DATABASE_URL on {host}")
        else:
            postgres = Postgres(project.state, port=project.port("POSTGRES_PORT"))
        if url := settings.get("REDIS_URL"):
            self.terminal.step("valkey", f"using REDIS_URL on {_check_connection('REDIS_URL', url, 6379)}")
            defaults["CELERY_BROKER_URL"] = url
        else:
            valkey = Valkey(project.state, port=project.port("VALKEY_PORT"))
        if not settings.get("SMTP_URL"):  # for devstack.mail
            defaults["SMTP_URL"] = f"smtp://{state.HOST}:{state.port_for(project.state, 'smtp')}"
            defaults["MAIL_PORT"] = str(state.port_for(project.state, "mail"))
        if "LOCAL_PROVIDER" not in settings:  # for devstack.identity
            defaults["LOCAL_PROVIDER"] = f"http://{state.HOST}:{state.port_for(project.state, 'identity')}"
        servers = [self._run(server, self.servers) for server in (postgres, valkey) if server]
        await asyncio.sleep(0)  # lets the tasks start the servers; while these come up:
        import asyncpg  # noqa: F401 (the migrations need it)

        for server in servers:
            await server.was_ready.wait()
        if postgres:
            defaults["DATABASE_URL"] = postgres.url
        if valkey:
            defaults |= {"REDIS_URL": f"{valkey.url}/0", "CELERY_BROKER_URL": f"{valkey.url}/1"}
        return postgres is not None

    def _run(self, service: Service, started: list[ManagedProcess]) -> ManagedProcess:
        process = ManagedProcess(service, self.project.folder, self.project.state, self.terminal)
        started.append(process)
        self.tasks.create_task(process.run())
        return process

    def _watch_files(self) -> None:
        paths = {self.project.folder / name for config in self.project.processes for name in config.reload}
        folders = {path for path in paths if path.is_dir()}
        # Single files are watched through their folder: editors replace them, and they may not exist yet.
        parents = {path.parent for path in paths - folders if path.parent.is_dir()}
        if folders:
            self.tasks.create_task(self._watch(folders, recursive=True))
        if parents:
            self.tasks.create_task(self._watch(parents, recursive=False))

    async def _watch(self, folders: set[Path], *, recursive: bool) -> None:
        """Restart processes after changes, which are collected for about 20 ms."""
        from watchfiles import Change, awatch

        try:
            async for changes in awatch(
                *folders, recursive=recursive, debounce=200, step=20, watch_filter=None
            ):
                changed = {Path(path) for _, path in changes}
                if recursive:  # files in new folders can be older than the watch of their folder
                    added = [Path(path) for change, path in changes if change is Change.added]
                    changed.update(file for path in added for file in path.rglob("*.py"))
                self._restart_after(changed)
        except OSError as error:  # for instance the system's limit of watches
            self.terminal.step("dev", f"cannot watch files ({error}); changes will not restart anything")

    def _restart_after(self, changed: set[Path]) -> None:
        for path in changed:
            if path.suffix == ".py":
                _remove_bytecode(path)
        for process, config in zip(self.processes, self.project.processes, strict=False):
            if names := relevant_changes(config, changed, self.project.folder, ready=process.ready):
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                self.terminal.step(process.name, f"restarting: {', '.join(names[:3])}{more} changed")
                process.restart_requested.set()

    def _print_summary(self, seconds: float) -> None:
        """Print the addresses for people, then the line for programs."""
        lines = {config.name: self.project.page(config) for config in self.project.processes}
        lines |= {"folder": str(self.project.folder), "stop": "Ctrl-C"}
        width = max(len(name) for name in lines if lines[name])
        block = [f"    {name.ljust(width)}  {text}" for name, text in lines.items() if text]
        self.terminal.write("\n".join(["", f"  Ready in {seconds:.1f} s.", *block, ""]))
        self.terminal.write(f"ready: http://{self.project.host}:{self.project.defaults['PORT']}")


def relevant_changes(config: ProcessConfig, changed: set[Path], folder: Path, *, ready: bool) -> list[str]:
    """Return the changed files that require a restart: files in `reload`, and *.py below its folders.

    A process that is ready reloads the files of its `hot` folders by itself.
    """
    reload = {folder / name for name in config.reload}
    hot = {folder / name for name in config.hot} if ready else set()
    return sorted(
        str(path.relative_to(folder))
        for path in changed
        if path in reload
        or (path.suffix == ".py" and reload & set(path.parents) and not hot & set(path.parents))
    )


def _remove_bytecode(source: Path) -> None:
    """Remove the bytecode of a file: a second edit of the same size within a second would not replace it."""
    with contextlib.suppress(OSError):  # for instance a folder of another user
        Path(cache_from_source(source)).unlink(missing_ok=True)


def _check_connection(name: str, url: str, default_port: int) -> str:
    """Return the host of a server's URL. Raises DevstackError if it does not accept connections."""
    try:
        parts = urlsplit(url)
        if parts.hostname:  # otherwise a Unix socket
            socket.create_connection((parts.hostname, parts.port or default_port), timeout=5).close()
    except (OSError, ValueError) as error:
        raise DevstackError(
            f"{name}: cannot connect ({error}). Correct it, or unset it to start a server here."
        ) from None
    return parts.hostname or "this machine"
