"""GET /api/auth/providers: the buttons of a sign-in page."""

from filerouter import RouteConfig

from app.accounts.schemas import Provider, ProviderList
from app.deps import OAuth

config = RouteConfig(public=True)


async def get(oauth: OAuth) -> ProviderList:
    """List the OAuth providers that users can sign in with."""
    items = [
        Provider(name=name, label=provider.label or name.title(), url=f"/api/auth/login/{name}")
        for name, provider in oauth.providers.items()
    ]
    return ProviderList(items=items)
