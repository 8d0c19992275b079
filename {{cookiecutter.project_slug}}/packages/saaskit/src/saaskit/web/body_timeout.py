"""A time limit for request bodies, so that slow clients cannot hold resources for long."""

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS_WITHOUT_BODY = {"GET", "HEAD", "OPTIONS", "TRACE"}


class BodyTimeoutMiddleware:
    """Respond with 408 unless the whole body has arrived `seconds` after the headers."""

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        self.app, self.seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] in METHODS_WITHOUT_BODY:
            return await self.app(scope, receive, send)
        deadline = asyncio.get_running_loop().time() + self.seconds
        complete = False

        async def receive_in_time() -> Message:
            nonlocal complete
            if complete:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(
                    408, "The request body took too long to arrive.", {"Connection": "close"}
                ) from None
            complete = not message.get("more_body", False)
            return message

        return await self.app(scope, receive_in_time, send)
