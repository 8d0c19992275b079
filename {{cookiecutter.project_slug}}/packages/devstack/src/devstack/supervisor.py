"""The order of `dev`: engines, migrations, the application, and when that answers, the rest."""

import asyncio
import socket
import time
from urllib.parse import urlsplit

from . import changes, database, ports
from .child import Child, Service
from .errors import Problem
from .files import last_lines, private
from .postgres import Postgres
from .project import Project
from .row import RowService
from .terminal import Terminal
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


class Supervisor:
    """Runs everything until it is cancelled; `close` stops it. Both belong into the main thread."""

    def __init__(self, project: Project, terminal: Terminal) -> None:
        self.project, self.terminal = project, terminal
        self.engines: list[Child] = []
        self.rows: list[Child] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.shared = project.state / "urls.env"

    async def run(self) -> None:
        """Start all, say so, and go on. Problem if an engine or a migration fails."""
        began = time.monotonic()
        services = [RowService(self.project, row) for row in self.project.rows]
        for service in services:
            _ = service.command  # a missing program is told before anything starts
        await self._start_engines()
        environment = self.project.environment()
        private(self.shared, "".join(f"{name}={environment[name]}\n" for name in SHARED))
        ours = any(isinstance(child.service, Postgres) for child in self.engines)
        await database.prepare(self.project, self.terminal, ours=ours)
        application = self._keep(services[0])
        self.tasks.append(asyncio.create_task(self._follow_changes()))
        await self._until_up([application])
        others = [self._keep(service) for service in services[1:]]
        await self._until_up(others)
        self._announce(time.monotonic() - began)
        await asyncio.gather(*self.tasks)

    async def close(self) -> None:
        """Stop everything: first what uses the engines, then the engines."""
        began = time.monotonic()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await asyncio.gather(*(child.end() for child in self.rows))
        await asyncio.gather(*(child.end(patience=10) for child in self.engines))
        self.shared.unlink(missing_ok=True)
        self.terminal.step("dev", "stopped", time.monotonic() - began)

    def kill(self) -> None:
        """Stop everything at once."""
        for child in self.rows + self.engines:
            child.kill()

    async def _start_engines(self) -> None:
        settings, given = self.project.settings(), self.project.given
        services: list[Postgres | Valkey] = []
        if url := settings.get("DATABASE_URL"):
            self.terminal.step("postgres", f"using DATABASE_URL on {_reach('DATABASE_URL', url, 5432)}")
        else:
            services.append(Postgres(self.project.state, port=self.project.port("POSTGRES_PORT")))
        if url := settings.get("REDIS_URL"):
            self.terminal.step("valkey", f"using REDIS_URL on {_reach('REDIS_URL', url, 6379)}")
            given |= {"CELERY_BROKER_URL": url}
        else:
            services.append(Valkey(self.project.state, port=self.project.port("VALKEY_PORT")))
        if not settings.get("SMTP_URL"):  # for devstack.mail, if the project has it among its rows
            smtp, page = (ports.of_folder(self.project.state, name) for name in ("smtp", "mail"))
            given |= {"SMTP_URL": f"smtp://{ports.HOST}:{smtp}", "MAIL_PORT": str(page)}
        if "LOCAL_PROVIDER" not in settings:  # for devstack.identity, likewise
            port = ports.of_folder(self.project.state, "identity")
            given["LOCAL_PROVIDER"] = f"http://{ports.HOST}:{port}"
        starts = []
        for service in services:
            began = time.monotonic()
            service.prepare()
            self.engines.append(self._child(service))
            starts.append(asyncio.create_task(self._start_engine(self.engines[-1], began)))
        await asyncio.sleep(0)  # now they are started; while they come up:
        import asyncpg  # noqa: F401 (the next step needs it)

        for failure in filter(None, await asyncio.gather(*starts, return_exceptions=True)):
            raise failure
        for service in services:
            if isinstance(service, Postgres):
                given["DATABASE_URL"] = service.url
            else:
                given |= {"REDIS_URL": f"{service.url}/0", "CELERY_BROKER_URL": f"{service.url}/1"}
        self.tasks = [asyncio.create_task(child.keep(started=True)) for child in self.engines]

    async def _start_engine(self, child: Child, began: float) -> None:
        if not await child.start(began):
            await child.reading
            text = last_lines("\n".join(child.recent))
            raise Problem(f"{child.name} did not start in {self.project.state}:\n{text}")

    def _child(self, service: Service) -> Child:
        return Child(service, self.project.folder, self.project.state, self.terminal)

    def _keep(self, service: RowService) -> Child:
        child = self._child(service)
        self.rows.append(child)
        self.tasks.append(asyncio.create_task(child.keep()))
        return child

    async def _until_up(self, children: list[Child]) -> None:
        """Wait until all answer; raise what ends one of the tasks meanwhile."""
        for child in children:
            up = asyncio.create_task(child.up.wait())
            while not up.done():
                await asyncio.wait([up, *self.tasks], return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in self.tasks if task.done()]:
                    self.tasks.remove(task)
                    task.result()

    async def _follow_changes(self) -> None:
        async for changed in changes.of(self.project.rows, self.project.folder, self.terminal):
            for child, row in zip(self.rows, self.project.rows, strict=False):
                if names := changes.concerning(row, changed, self.project.folder, down=not child.answering):
                    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                    self.terminal.step(child.name, f"starts afresh: {', '.join(names[:3])}{more} changed")
                    child.changed.set()

    def _announce(self, seconds: float) -> None:
        """The block for a person, then the line for programs.

        Of plain addresses, browsers keep secure cookies (of a session, say) for localhost only.
        """
        port = self.project.given["PORT"]
        lines = {"API": f"http://localhost:{port}/api/health", "docs": f"http://localhost:{port}/docs"}
        lines |= {row.name: self.project.fill_whole(row.page) for row in self.project.rows}
        lines |= {"folder": str(self.project.folder), "stop": "Ctrl-C"}
        width = max(len(name) for name in lines if lines[name])
        block = [f"    {name.ljust(width)}  {text}" for name, text in lines.items() if text]
        self.terminal.write("\n".join(["", f"  Ready in {seconds:.1f} s.", *block, ""]))
        self.terminal.write(f"ready: http://{ports.HOST}:{port}")


def _reach(name: str, url: str, default_port: int) -> str:
    """The host of a server's URL. Problem if nothing listens there."""
    try:
        where = urlsplit(url)
        if where.hostname:  # else a socket file
            socket.create_connection((where.hostname, where.port or default_port), timeout=5).close()
    except (OSError, ValueError) as error:
        raise Problem(
            f"{name}: cannot connect ({error}). Correct it, or unset it to start one here."
        ) from None
    return where.hostname or "this machine"
