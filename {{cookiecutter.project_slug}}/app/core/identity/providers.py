"""The providers of the settings. Authlib is imported when the first one is asked for."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog

from app.core.errors import BadRequest, NotFound, UpstreamFailed
from app.setting_types import Provider
from app.settings import Settings

if TYPE_CHECKING:
    from app.core.identity.oauth2 import GitHubApp
    from app.core.identity.person import Person
    from app.core.identity.strict import StrictApp

log = structlog.get_logger(__name__)
ISSUERS = {"google": "https://accounts.google.com"}
"""Microsoft's depends on the tenant, so it has to be set: `https://login.microsoftonline.com/<tenant>/v2.0`."""


class Providers:
    """One Authlib application for each; they keep what they learn about a provider between sign-ins."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._apps: dict[str, StrictApp | GitHubApp] = {}

    def setting(self, name: str) -> Provider:
        """What is configured, or NotFound."""
        known = self.settings.all_providers
        if name not in known:
            raise NotFound("There is no such provider.")
        return known[name]

    def redirect_uri(self, name: str) -> str:
        """Where the provider sends people back to: its own path, on the configured origin."""
        return f"{self.settings.origin}/api/auth/callback/{name}"

    async def authorize(self, name: str, *, again: bool = False) -> dict[str, Any]:
        """`url` to go to, and what is to be kept until the answer: `state`, `nonce`, `code_verifier`.

        `again`: whoever is signed in there has to prove anew who they are, if the provider knows how to ask.
        """
        more = {"max_age": 0} if again else {}
        async with _refusing(name):
            return await self._app(name).create_authorization_url(self.redirect_uri(name), **more)

    async def identify(self, name: str, params: Mapping[str, str], flow: Mapping[str, Any]) -> "Person":
        """Who came back."""
        async with _refusing(name):
            return await self._app(name).identify(params, flow, self.redirect_uri(name))

    def _app(self, name: str) -> "StrictApp | GitHubApp":
        if name not in self._apps:
            self._apps[name] = _app(name, self.setting(name))
        return self._apps[name]


def _app(name: str, setting: Provider) -> "StrictApp | GitHubApp":
    from authlib.integrations.starlette_client import StarletteIntegration

    from app.core.identity.oauth2 import URLS, GitHubApp
    from app.core.identity.strict import StrictApp
    from app.core.identity.transport import client_options

    who = {"client_id": setting.client_id, "client_secret": setting.client_secret.get_secret_value()}
    framework = StarletteIntegration(name)
    if name == "github":
        return GitHubApp(framework, name, client_kwargs=client_options("read:user user:email"), **who, **URLS)
    issuer = setting.issuer or ISSUERS.get(name, "")
    options = client_options("openid email profile")
    if not who["client_secret"]:
        options |= {"token_endpoint_auth_method": "none"}
    return StrictApp(framework, name, issuer=issuer, client_kwargs=options, **who)


@asynccontextmanager
async def _refusing(name: str) -> AsyncIterator[None]:
    """Whatever goes wrong with a provider ends in time, as one of two answers; the log has the reason.

    Authlib, joserfc, httpx2 and a provider's strange documents raise errors of many families.
    """
    import httpx2

    from app.core.identity.transport import SECONDS

    try:
        async with asyncio.timeout(SECONDS):
            yield
    except NotFound:
        raise
    except (TimeoutError, httpx2.HTTPError) as error:
        log.warning("provider failed", provider=name, error=type(error).__name__)
        raise UpstreamFailed(
            "The provider does not answer as it should. Try again.", event="identity.failed"
        ) from None
    except Exception as error:
        log.warning("identity refused", provider=name, error=f"{type(error).__name__}: {error}"[:200])
        raise refused() from None


def refused() -> BadRequest:
    """The one answer to every sign-in at a provider that we do not believe."""
    return BadRequest("This sign-in could not be completed. Begin again.", event="identity.refused")
