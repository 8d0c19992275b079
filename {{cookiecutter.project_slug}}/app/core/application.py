"""FastAPI, with the envelope around it and its errors described as they are sent."""

from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from app.core.http import Envelope
from app.core.openapi import as_problems


class Application(FastAPI):
    """What `app.main.create_app` builds on."""

    def build_middleware_stack(self) -> ASGIApp:
        """Put the envelope outside of everything, so that no answer leaves without it."""
        return Envelope(super().build_middleware_stack(), https=self.state.settings.production)

    def openapi(self) -> dict[str, Any]:
        """FastAPI's document, with problem documents for its errors."""
        return as_problems(super().openapi())
