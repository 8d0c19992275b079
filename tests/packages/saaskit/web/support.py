"""Checks and clients that the tests of the web layer share."""

import re
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import NamedTuple

import httpx2
from saaskit.errors import Problem
from saaskit.web.problems import ProblemDocument
from starlette.requests import HTTPConnection

ORIGIN = "https://test"
HOST = "api.example.com"
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}

NewClient = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]


class Refusals(list[Problem]):
    """The refusals that were reported."""

    async def __call__(self, connection: HTTPConnection, error: Problem) -> None:
        self.append(error)


def assert_problem(response: httpx2.Response, status: int, detail: str | None = None) -> ProblemDocument:
    """Check the form of an error response and return its document."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = ProblemDocument.model_validate_json(response.content)
    assert document.status == status
    assert document.request_id == response.headers["x-request-id"]
    if detail is not None:
        assert document.detail == detail
    return document


class Received(NamedTuple):
    """The bytes that a server sent until it closed the connection."""

    data: bytes

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3})", self.data)]

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]


def exchange(port: int, sent: bytes) -> Received:
    """Send bytes and read until the server closes the connection; raises TimeoutError after 60 silent seconds."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        # A server that refuses a request closes while we are sending; its response can still be read.
        with suppress(ConnectionError):
            connection.sendall(sent)
        with suppress(ConnectionError):
            while part := connection.recv(65536):
                received += part
    return Received(received)


def request(path: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    """Return an HTTP/1.1 request for our host."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
