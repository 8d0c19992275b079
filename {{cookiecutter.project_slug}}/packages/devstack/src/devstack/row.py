"""A row of [tool.devstack.processes] as a service."""

import signal
import socket
import time
from urllib.parse import urlsplit

from . import launch, ports
from .project import Project, Row

SILENCE = 60.0
"""Seconds that one which runs is waited for to say its text: a log level may hide it."""


class RowService:
    """The project's own process: its command, and what tells that it is ready."""

    stop = signal.SIGTERM
    identity: launch.Identity = "self"

    def __init__(self, project: Project, row: Row) -> None:
        self.project, self.row, self.name = project, row, row.name
        self.mendable = bool(row.reload)

    @property
    def command(self) -> list[str]:
        """The command with today's settings, which also tell how we know that it is ready."""
        self.ready, self.said = self.project.fill_whole(self.row.ready), False
        self.began = time.monotonic()
        return self.project.command(self.row.command)

    @property
    def environment(self) -> dict[str, str]:
        """The environment with today's settings."""
        return self.project.environment()

    def answers(self) -> bool:
        """Whether its `ready` URL answers 200, or it printed that text; without one, it has been started."""
        if not self.ready.startswith("http://"):
            return self.said or not self.ready or time.monotonic() - self.began > SILENCE
        url = urlsplit(self.ready)
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
        if self.ready.startswith("http://"):
            return f"at {self.ready}"
        return "" if self.said or not self.ready else f"as it seems: it runs, but does not say {self.ready!r}"

    def telling(self, line: str) -> bool:
        """Everything that the project prints is."""
        self.said = self.said or self.ready in line
        return True
