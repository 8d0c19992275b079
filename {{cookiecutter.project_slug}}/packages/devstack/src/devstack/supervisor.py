"""The order of `dev`: servers, migrations, the application, other processes, restarts after changes."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

from . import state
from .errors import DevstackError
from .migrations import prepare_database
from .output import Terminal, last_lines
from .postgres import Postgres
from .process import ManagedProcess, Service
from .project import ProcessConfig, Project, ProjectProcess
from .valkey import Valkey

SHARED = (
    "ENVIRONMENT",
    "DATABASE_URL",
    "REDIS_URL",
    "CELERY_BROKER_URL",
    "SMTP_URL",
    "LOCAL_PROVIDER",
    "PORT",
)
"""The variables in `.dev/urls.env`, for commands in other terminals."""

SERVER_STOP_TIMEOUT = 10.0


class Supervisor:
    """Runs the project until `run` is cancelled; `close` stops everything. Call both in the main thread."""

    def __init__(self, project: Project, terminal: Terminal) -> None:
        self.project, self.terminal = project, terminal
        self.servers: list[ManagedProcess] = []
        self.processes: list[ManagedProcess] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.shared_file = project.state / "urls.env"

    async def run(self) -> None:
        """Start everything, print the addresses, keep it running. Raises DevstackError if the start fails."""
        began = time.monotonic()
        services = [ProjectProcess(self.project, config) for config in self.project.processes]
        for service in services:
            service.prepare()  # reports a missing program before anything starts
        await self._start_servers()
        environment = self.project.environment()
        state.write_private(self.shared_file, "".join(f"{name}={environment[name]}\n" for name in SHARED))
        embedded = any(isinstance(server.service, Postgres) for server in self.servers)
        await prepare_database(self.project, self.terminal, embedded=embedded)
        application = self._run_process(services[0])
        self.tasks.append(asyncio.create_task(self._restart_on_changes()))
        await self._wait_until_ready([application])
        await self._wait_until_ready([self._run_process(service) for service in services[1:]])
        self._print_summary(time.monotonic() - began)
        await asyncio.gather(*self.tasks)

    async def close(self) -> None:
        """Stop everything, the servers last."""
        began = time.monotonic()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await asyncio.gather(*(process.stop() for process in self.processes))
        await asyncio.gather(*(server.stop(SERVER_STOP_TIMEOUT) for server in self.servers))
        self.shared_file.unlink(missing_ok=True)
        self.terminal.step("dev", "stopped", time.monotonic() - began)

    def kill(self) -> None:
        """Kill everything at once."""
        for process in self.processes + self.servers:
            process.kill()

    async def _start_servers(self) -> None:
        """Start the servers that the settings do not name, and set the default URLs of all."""
        project, settings, defaults = self.project, self.project.settings(), self.project.defaults
        services: list[Postgres | Valkey] = []
        if url := settings.get("DATABASE_URL"):
            host = _check_connection("DATABASE_URL", url, 5432)
            self.terminal.step("postgres", f"using DATABASE_URL on {host}")
        else:
            services.append(Postgres(project.state, port=project.port("POSTGRES_PORT")))
        if url := settings.get("REDIS_URL"):
            self.terminal.step("valkey", f"using REDIS_URL on {_check_connection('REDIS_URL', url, 6379)}")
            defaults["CELERY_BROKER_URL"] = url
        else:
            services.append(Valkey(project.state, port=project.port("VALKEY_PORT")))
        if not settings.get("SMTP_URL"):  # for devstack.mail
            defaults["SMTP_URL"] = f"smtp://{state.HOST}:{state.port_for(project.state, 'smtp')}"
            defaults["MAIL_PORT"] = str(state.port_for(project.state, "mail"))
        if "LOCAL_PROVIDER" not in settings:  # for devstack.identity
            defaults["LOCAL_PROVIDER"] = f"http://{state.HOST}:{state.port_for(project.state, 'identity')}"
        self.servers = [self._manage(service) for service in services]
        starts = [asyncio.create_task(self._start_server(server)) for server in self.servers]
        await asyncio.sleep(0)  # lets the tasks start the servers; while these come up:
        import asyncpg  # noqa: F401 (the migrations need it)

        for error in filter(None, await asyncio.gather(*starts, return_exceptions=True)):
            raise error
        for service in services:
            if isinstance(service, Postgres):
                defaults["DATABASE_URL"] = service.url
            else:
                defaults |= {"REDIS_URL": f"{service.url}/0", "CELERY_BROKER_URL": f"{service.url}/1"}
        self.tasks = [asyncio.create_task(server.run(started=True)) for server in self.servers]

    async def _start_server(self, server: ManagedProcess) -> None:
        if not await server.start(since=time.monotonic()):
            await server.reader
            end = last_lines("\n".join(server.recent_lines))
            raise DevstackError(f"{server.name} did not start in {self.project.state}:\n{end}")

    def _manage(self, service: Service) -> ManagedProcess:
        return ManagedProcess(service, self.project.folder, self.project.state, self.terminal)

    def _run_process(self, service: ProjectProcess) -> ManagedProcess:
        process = self._manage(service)
        self.processes.append(process)
        self.tasks.append(asyncio.create_task(process.run()))
        return process

    async def _wait_until_ready(self, processes: list[ManagedProcess]) -> None:
        """Wait until all have been ready. Raises the error of a task that fails in the meantime."""
        for process in processes:
            ready = asyncio.create_task(process.was_ready.wait())
            while not ready.done():
                await asyncio.wait([ready, *self.tasks], return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in self.tasks if task.done()]:
                    self.tasks.remove(task)
                    task.result()

    async def _restart_on_changes(self) -> None:
        folder = self.project.folder
        async for changed in _watch(self.project, self.terminal):
            for process, config in zip(self.processes, self.project.processes, strict=False):
                if names := relevant_changes(config, changed, folder, ready=process.ready):
                    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                    self.terminal.step(process.name, f"restarting: {', '.join(names[:3])}{more} changed")
                    process.restart_requested.set()

    def _print_summary(self, seconds: float) -> None:
        """Print the addresses for people, then the line for programs."""
        pages = {config.name: config.page for config in self.project.processes}
        lines = {name: self.project.fill(page, complete=True) for name, page in pages.items()}
        lines |= {"folder": str(self.project.folder), "stop": "Ctrl-C"}
        width = max(len(name) for name in lines if lines[name])
        block = [f"    {name.ljust(width)}  {text}" for name, text in lines.items() if text]
        self.terminal.write("\n".join(["", f"  Ready in {seconds:.1f} s.", *block, ""]))
        self.terminal.write(f"ready: http://{state.HOST}:{self.project.defaults['PORT']}")


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


async def _watch(project: Project, terminal: Terminal) -> AsyncIterator[set[Path]]:
    """Yield sets of changed files, collected for about 20 ms."""
    from watchfiles import Change, awatch

    paths = {project.folder / name for config in project.processes for name in config.reload}
    folders = [path for path in paths if path.is_dir()]
    # Single files are watched through their folder: editors replace them, and they may not exist yet.
    parents = {path.parent for path in paths if not path.is_dir() and path.parent.is_dir()}
    queue: asyncio.Queue[set[Path]] = asyncio.Queue()

    async def watch(paths: list[Path], recursive: bool) -> None:
        try:
            async for changes in awatch(
                *paths, recursive=recursive, debounce=200, step=20, watch_filter=None
            ):
                changed = {Path(path) for _, path in changes}
                if recursive:
                    added = [path for change, path in changes if change is Change.added]
                    changed.update(await asyncio.to_thread(_files_below, added))
                queue.put_nowait(changed)
        except OSError as error:  # for instance the system's limit of watches
            terminal.step("dev", f"cannot watch files ({error}); changes will not restart anything")

    tasks = [asyncio.create_task(watch(folders, True))] if folders else []
    tasks += [asyncio.create_task(watch(list(parents), False))] if parents else []
    try:
        while tasks:
            yield await queue.get()
    finally:
        for task in tasks:
            task.cancel()


def _files_below(folders: list[str]) -> list[Path]:
    """Return the Python files in new folders. They can be older than the watch of their folder."""
    return [file for folder in folders for file in Path(folder).rglob("*.py")]


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
