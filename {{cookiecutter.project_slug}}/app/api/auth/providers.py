"""GET /api/auth/providers: what a sign-in page offers."""

from app.deps import Work
from app.schemas.identities import ProviderList
from app.services import identities
from filerouter import RouteConfig

config = RouteConfig(public=True)


async def get(work: Work) -> ProviderList:
    """List the providers that people can sign in with."""
    return identities.offered(work)
