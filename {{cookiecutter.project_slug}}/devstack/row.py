"""A row of [tool.devstack.processes] as a service."""

import signal
import socket
from urllib.parse import urlsplit

from . import launch, ports
from .project import Project, Row


class RowService:
    """The project's own process: its command, and the URL that answers 200 when it is ready."""

    stop = signal.SIGTERM
    identity: launch.Identity = "self"

    def __init__(self, project: Project, row: Row) -> None:
        self.project, self.row, self.name = project, row, row.name
        self.mendable = bool(row.reload)

    @property
    def command(self) -> list[str]:
        """The command with today's settings, which also tell where it will answer."""
        self.url = self.project.fill(self.row.ready)
        return self.project.command(self.row.command)

    @property
    def environment(self) -> dict[str, str]:
        """The environment with today's settings."""
        return self.project.environment()

    def answers(self) -> bool:
        """Whether its `ready` URL answers 200; without one it is enough to have been started."""
        if not self.url:
            return True
        url = urlsplit(self.url)
        try:
            with socket.create_connection(
                (url.hostname or ports.HOST, url.port or 80), timeout=5
            ) as connection:
                request = f"GET {url.path or '/'} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n"
                connection.sendall(request.encode())
                return connection.recv(12).endswith(b" 200")
        except OSError:
            return False

    @property
    def where(self) -> str:
        """For the line that says it is ready."""
        return f"at {self.url}" if self.url else ""

    def telling(self, line: str) -> bool:
        """Everything that the project prints is."""
        return True
