"""Requests to a provider: limited in time and size, without redirects, independent of the environment."""

import ssl
from functools import cache
from typing import Any

import httpx2
from authlib.integrations.starlette_client import StarletteIntegration, StarletteOAuth2App

from saaskit.oauth.identity import InvalidProviderResponse
from saaskit.settings import OAuthProviderSettings
from saaskit.upstream.transport import UnreadableBody, read_limited

REQUEST_SECONDS = 8
MAX_RESPONSE_BYTES = 512 * 1024
_BODY_HEADERS = ("content-encoding", "content-length", "transfer-encoding")


@cache
def _ssl_context() -> ssl.SSLContext:
    """Return the context that all requests share: loading the certificates takes 20 ms."""
    return httpx2.create_ssl_context(trust_env=False)


class LimitedTransport(httpx2.AsyncBaseTransport):
    """Reads at most 512 KiB of a response, decompressed. A longer one and a redirect raise HTTPError."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the complete response."""
        async with httpx2.AsyncHTTPTransport(_ssl_context(), trust_env=False) as transport:
            response = await transport.handle_async_request(request)
            try:
                if 300 <= response.status_code < 400:
                    raise httpx2.UnsupportedProtocol("The provider redirects.", request=request)
                body = await read_limited(response, MAX_RESPONSE_BYTES)
            except UnreadableBody as error:
                raise httpx2.DecodingError(str(error), request=request) from error
            finally:
                await response.aclose()
        headers = [(name, value) for name, value in response.headers.items() if name not in _BODY_HEADERS]
        return httpx2.Response(response.status_code, headers=headers, content=body, request=request)


class ProviderClient(StarletteOAuth2App):
    """An Authlib client with our limits, and always with PKCE (S256)."""

    def __init__(
        self, name: str, settings: OAuthProviderSettings, scope: str, urls: dict[str, str] | None = None
    ) -> None:
        secret = settings.client_secret.get_secret_value()
        options: dict[str, Any] = {
            "scope": scope,
            "code_challenge_method": "S256",
            "transport": LimitedTransport(),
            "follow_redirects": False,
            "trust_env": False,
            "timeout": REQUEST_SECONDS,
        }
        if not secret:
            options["token_endpoint_auth_method"] = "none"  # noqa: S105 (RFC 7591's word for a public client)
        super().__init__(
            StarletteIntegration(name),
            name,
            client_id=settings.client_id,
            client_secret=secret,
            client_kwargs=options,
            **(urls or {}),
        )

    async def redeem(self, code: str, code_verifier: str, redirect_uri: str) -> dict[str, Any]:
        """Exchange the authorization code for the token response."""
        token = await self.fetch_access_token(
            redirect_uri=redirect_uri, code=code, code_verifier=code_verifier
        )
        if not isinstance(token.get("access_token"), str):
            raise InvalidProviderResponse("token response: access_token")
        return dict(token)
