"""Shared inputs of account services that work outside of the request's transaction."""

from dataclasses import dataclass

from saaskit.db import Sessionmaker
from saaskit.ratelimit import RateLimiter
from saaskit.web import ClientInfo

from app.settings import Settings


@dataclass(frozen=True)
class AccountContext:
    """The request's resources, for services that do slow work between two transactions.

    Hashing a password or calling a provider takes long; no database connection is held meanwhile. A service
    opens its transactions with `account.sessionmaker.begin()`.
    """

    sessionmaker: Sessionmaker
    rate_limiter: RateLimiter
    settings: Settings
    client: ClientInfo
