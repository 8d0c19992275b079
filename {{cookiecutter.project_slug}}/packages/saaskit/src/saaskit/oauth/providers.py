"""The configured providers: start a sign-in, and identify the user who returns."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from saaskit.errors import BadGateway, NotFound
from saaskit.oauth.identity import ExternalIdentity, InvalidProviderResponse, SignInFailed
from saaskit.settings import OAuthProviderSettings

if TYPE_CHECKING:
    from saaskit.oauth.github import GitHubClient
    from saaskit.oauth.oidc import OIDCClient

log = structlog.get_logger(__name__)
ISSUERS = {"google": "https://accounts.google.com"}
"""Microsoft's depends on the tenant and must be configured: `https://login.microsoftonline.com/<tenant>/v2.0`."""


@dataclass(frozen=True)
class AuthorizationRequest:
    """The URL to redirect the browser to, and the values that `identify` needs when it returns."""

    url: str
    state: str
    code_verifier: str
    nonce: str | None
    """None for GitHub."""


class OAuthProviders:
    """Clients of the providers. They keep a provider's metadata and keys between sign-ins.

    `redirect_uri` returns the URL of a provider's callback; each provider must have its own. `step_seconds`
    limits all requests of one step of a sign-in together.
    """

    def __init__(
        self,
        providers: Mapping[str, OAuthProviderSettings],
        redirect_uri: Callable[[str], str],
        *,
        step_seconds: float = 8,
    ) -> None:
        self.providers, self.redirect_uri, self.step_seconds = providers, redirect_uri, step_seconds
        self._clients: dict[str, OIDCClient | GitHubClient] = {}

    def settings(self, name: str) -> OAuthProviderSettings:
        """Return the settings of a provider. Raises NotFound."""
        if name not in self.providers:
            raise NotFound("There is no such provider.")
        return self.providers[name]

    async def authorize(self, name: str, *, reauthenticate: bool = False) -> AuthorizationRequest:
        """Start a sign-in. `reauthenticate` asks the provider not to rely on an existing session of the user.

        Raises NotFound, SignInFailed and BadGateway.
        """
        options = {"max_age": 0} if reauthenticate else {}
        async with self._errors(name):
            client = self._client(name)
            request = await client.create_authorization_url(self.redirect_uri(name), **options)
            return AuthorizationRequest(
                request["url"], request["state"], request["code_verifier"], request.get("nonce")
            )

    async def identify(
        self,
        name: str,
        params: Iterable[tuple[str, str]],
        *,
        state: str,
        code_verifier: str,
        nonce: str | None,
    ) -> ExternalIdentity:
        """Return the user who signed in. `params` are the query parameters of the callback.

        `state`, `code_verifier` and `nonce` are those of the browser's authorization request. The caller must
        accept each of these only once. Raises NotFound, SignInFailed and BadGateway.
        """
        async with self._errors(name):
            client = self._client(name)
            return await client.identify(
                _authorization_response(list(params), state),
                code_verifier=code_verifier,
                nonce=nonce,
                redirect_uri=self.redirect_uri(name),
            )

    def _client(self, name: str) -> "OIDCClient | GitHubClient":
        # Authlib is not needed before the first sign-in.
        from saaskit.oauth.github import GitHubClient
        from saaskit.oauth.oidc import OIDCClient

        settings = self.settings(name)
        if name not in self._clients:
            if name == "github":
                self._clients[name] = GitHubClient(settings)
            else:
                self._clients[name] = OIDCClient(name, settings, settings.issuer or ISSUERS.get(name, ""))
        return self._clients[name]

    @asynccontextmanager
    async def _errors(self, name: str) -> AsyncIterator[None]:
        """End the block in time, and turn errors into two problems. The log has the reason.

        Authlib, joserfc, httpx2 and invalid documents raise errors of many classes.
        """
        import httpx2

        try:
            async with asyncio.timeout(self.step_seconds):
                yield
        except NotFound:
            raise
        except (TimeoutError, httpx2.HTTPError) as error:
            log.warning("provider failed", provider=name, error=type(error).__name__)
            raise BadGateway(
                "The identity provider does not respond correctly. Try again.", event="identity.failed"
            ) from None
        except Exception as error:
            log.warning("sign-in refused", provider=name, error=f"{type(error).__name__}: {error}"[:200])
            raise SignInFailed from None


def _authorization_response(params: list[tuple[str, str]], state: str) -> dict[str, str]:
    response = dict(params)
    if len(response) < len(params):
        raise InvalidProviderResponse("authorization response: repeated parameter")
    if not state or response.get("state") != state:
        raise InvalidProviderResponse("authorization response: state")
    if response.get("error") or not response.get("code"):
        raise InvalidProviderResponse(f"authorization response: {response.get('error', 'no code')}")
    return response
