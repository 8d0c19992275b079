"""What a request passes before it reaches a route, outermost first."""

from collections.abc import Awaitable, Callable

import structlog
from fastapi import FastAPI
from starlette.requests import HTTPConnection

from app.core.csrf import SameOrigin
from app.core.deadline import BodyDeadline
from app.core.errors import Problem
from app.core.hosts import KnownHosts
from app.core.identity.providers import Providers
from app.core.throttle import Throttle
from app.settings import Settings

Refused = Callable[[HTTPConnection, Problem], Awaitable[None]]
log = structlog.get_logger(__name__)


async def _logged(connection: HTTPConnection, error: Problem) -> None:
    log.warning("refused", kind=error.event)


def add_edge(app: FastAPI, settings: Settings, refused: Refused = _logged) -> None:
    """Known hosts only, no foreign pages, no slow bodies. `refused` keeps what was refused."""
    app.state.settings = settings
    app.state.throttle = Throttle(settings.redis_url)
    app.state.providers = Providers(settings)
    app.state.refused = refused
    app.add_middleware(BodyDeadline, seconds=settings.body_seconds)
    app.add_middleware(SameOrigin, origin=settings.origin, refused=refused)
    app.add_middleware(KnownHosts, hosts=settings.allowed_hosts.split(","))
