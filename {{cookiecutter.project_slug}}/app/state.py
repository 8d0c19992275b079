"""The resources that requests share, typed."""

from typing import TypedDict

from saaskit.db import Sessionmaker
from saaskit.oauth import OAuthProviders
from saaskit.ratelimit import RateLimiter
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import HTTPConnection

from app.settings import Settings


class State(TypedDict):
    """Resources that all requests share. `open_resources` in app/main.py opens and closes them."""

    settings: Settings
    sessionmaker: Sessionmaker
    autocommit_engine: AsyncEngine
    rate_limiter: RateLimiter
    oauth: OAuthProviders


def get_state(connection: HTTPConnection) -> State:
    """Return the application's resources."""
    return connection.scope["state"]
