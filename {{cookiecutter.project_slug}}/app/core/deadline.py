"""A request that is sent too slowly ends with 408, so that dripping clients hold nothing for long."""

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODILESS = {"GET", "HEAD", "OPTIONS", "TRACE"}


class BodyDeadline:
    """The whole body has to be here `seconds` after the headers. Pure ASGI."""

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        self.app, self.seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; other scopes pass."""
        if scope["type"] != "http" or scope["method"] in BODILESS:
            return await self.app(scope, receive, send)
        until = asyncio.get_running_loop().time() + self.seconds
        whole = False

        async def bounded() -> Message:
            nonlocal whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(
                    408, "The request's body took too long.", {"Connection": "close"}
                ) from None
            whole = not message.get("more_body", False)
            return message

        return await self.app(scope, bounded, send)
