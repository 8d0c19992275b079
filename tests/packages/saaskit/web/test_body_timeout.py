"""The time limit for request bodies."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from packages.saaskit.web.support import FORM, JSON, NewClient, assert_problem
from saaskit.web import BodyTimeoutMiddleware
from starlette.types import Message, Receive, Scope, Send


async def stalled() -> AsyncIterator[bytes]:
    yield b'{"title": '
    await asyncio.Event().wait()


@pytest.mark.requirement("INPUT-9")
@pytest.mark.parametrize(("path", "headers"), [("/notes", JSON), ("/login", JSON), ("/login", FORM)], ids=str)
async def test_a_body_that_stalls_is_408(new_client: NewClient, path: str, headers: dict[str, str]):
    async with new_client(body_seconds=0.05) as client, asyncio.timeout(60):
        response = await client.post(path, content=stalled(), headers=headers)
    assert_problem(response, 408, "The request body took too long to arrive.")
    assert response.headers["connection"] == "close"


async def receive_twice(method: str, *messages: Message) -> list[Message]:
    """Receive two messages, the second one after the time limit."""
    received: list[Message] = []
    pending = list(messages)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        received.extend([await receive(), await receive()])

    async def receive() -> Message:
        if len(pending) < 2:
            for _ in range(3):  # longer than the limit of 0 seconds, which ends the first wait
                await asyncio.sleep(0)
        return pending.pop(0)

    async def send(message: Message) -> None: ...

    await BodyTimeoutMiddleware(app, seconds=0)({"type": "http", "method": method}, receive, send)
    return received


async def test_the_limit_ends_with_the_body():
    """A handler may run, and wait for the end of the connection, for as long as it likes."""
    messages: list[Message] = [{"type": "http.request", "body": b"x"}, {"type": "http.disconnect"}]
    assert await receive_twice("POST", *messages) == messages


async def test_requests_without_a_body_have_no_limit():
    messages: list[Message] = [{"type": "http.request", "more_body": True}, {"type": "http.disconnect"}]
    assert await receive_twice("GET", *messages) == messages


async def test_the_limit_holds_until_the_last_part_of_the_body():
    from starlette.exceptions import HTTPException

    messages: list[Message] = [{"type": "http.request", "more_body": True}, {"type": "http.request"}]
    with pytest.raises(HTTPException) as raised:
        await receive_twice("POST", *messages)
    assert raised.value.status_code == 408
