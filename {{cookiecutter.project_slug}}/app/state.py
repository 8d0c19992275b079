"""The resources that requests share, typed."""

from typing import TypedDict

from saaskit.db import Sessionmaker
from saaskit.oauth import OAuthProviders
from saaskit.ratelimit import RateLimiter
from sqlalchemy.ext.asyncio import AsyncEngine

from app.settings import Settings


class State(TypedDict):
    """The value of `connection.scope["state"]`. `open_resources` in app/main.py opens and closes it."""

    settings: Settings
    sessionmaker: Sessionmaker
    autocommit_engine: AsyncEngine
    rate_limiter: RateLimiter
    oauth: OAuthProviders
