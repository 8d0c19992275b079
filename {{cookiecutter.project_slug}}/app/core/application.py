"""FastAPI, with the envelope around it and its errors described as they are sent."""

import gc
import inspect
from typing import Any

from fastapi import FastAPI
from granian.utils.proxies import wrap_asgi_with_proxy_headers
from starlette.types import ASGIApp

from app.core.http import Envelope
from app.core.openapi import as_problems


class Application(FastAPI):
    """What `app.main.create_app` builds on."""

    def build_middleware_stack(self) -> ASGIApp:
        """Put the envelope outside of everything, so that no answer leaves without it.

        Outside of that only: what the named proxies say about the client (right-most stranger wins).
        """
        settings = self.state.settings
        stack: ASGIApp = Envelope(super().build_middleware_stack(), https=settings.production)
        if settings.trusted_proxies:
            stack = wrap_asgi_with_proxy_headers(stack, settings.trusted_proxies)
        return stack

    def openapi(self) -> dict[str, Any]:
        """FastAPI's document, with problem documents for its errors."""
        return as_problems(super().openapi())


def settle() -> None:
    """Do before the first request what it would have to wait for."""
    # FastAPI reads a handler's source when it is first asked for. The first reading of all takes 3 ms more.
    inspect.getsourcelines(settle)
    # What is loaded now stays: no request shall wait for a collection that walks it (0.1 s).
    gc.freeze()
