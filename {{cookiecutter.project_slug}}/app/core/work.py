"""What a service is given that waits for something slow between two transactions."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.client import Client
from app.core.db import Sessions
from app.core.identity.providers import Providers
from app.core.throttle import Throttle
from app.settings import Settings


@dataclass(frozen=True)
class Work:
    """Hashing a password or asking a provider takes long: no database connection is held meanwhile."""

    sessions: Sessions
    throttle: Throttle
    providers: Providers
    settings: Settings
    client: Client

    def transaction(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Committed at the end of the block, rolled back if it raises."""
        return self.sessions.begin()
