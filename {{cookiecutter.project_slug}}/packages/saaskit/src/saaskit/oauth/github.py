"""GitHub supports OAuth 2.0 without OpenID Connect: its API returns the user and their e-mail addresses."""

from collections.abc import Mapping
from typing import Any

from saaskit.oauth.client import ProviderClient
from saaskit.oauth.identity import ExternalIdentity, InvalidProviderResponse, parse_claims
from saaskit.settings import OAuthProviderSettings

ISSUER = "https://github.com"
URLS = {
    "authorize_url": f"{ISSUER}/login/oauth/authorize",
    "access_token_url": f"{ISSUER}/login/oauth/access_token",
    "api_base_url": "https://api.github.com/",
}


class GitHubClient(ProviderClient):
    """The subject is the number of the account, because another user can take over its name."""

    def __init__(self, settings: OAuthProviderSettings) -> None:
        super().__init__("github", settings, "read:user user:email", URLS)

    async def identify(
        self, response: Mapping[str, str], *, code_verifier: str, nonce: str | None, redirect_uri: str
    ) -> ExternalIdentity:
        """Redeem the code and request the user. GitHub does not support a nonce."""
        token = await self.redeem(response["code"], code_verifier, redirect_uri)
        user, emails = await self._get("user", token), await self._get("user/emails", token)
        if not isinstance(user, dict) or type(user.get("id")) is not int or not isinstance(emails, list):
            raise InvalidProviderResponse("user")
        claims = {"sub": str(user["id"]), "name": user.get("name")}
        for email in emails:
            if isinstance(email, dict) and email.get("primary") is True:
                claims |= {"email": email.get("email"), "email_verified": email.get("verified")}
                break
        return parse_claims(ISSUER, claims, token)

    async def _get(self, path: str, token: dict[str, Any]) -> Any:
        response = await self.get(path, token=token)
        response.raise_for_status()
        return response.json()
