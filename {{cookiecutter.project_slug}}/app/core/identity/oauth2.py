"""GitHub: OAuth 2, not OpenID Connect. Who somebody is, and which addresses are theirs, its API says."""

from collections.abc import Mapping
from typing import Any

from authlib.integrations.starlette_client import StarletteOAuth2App

from app.core.identity.person import NotBelieved, Person, person

ISSUER = "https://github.com"
URLS = {
    "authorize_url": f"{ISSUER}/login/oauth/authorize",
    "access_token_url": f"{ISSUER}/login/oauth/access_token",
    "api_base_url": "https://api.github.com/",
}


class GitHubApp(StarletteOAuth2App):
    """The subject is the account's number: names can be taken by others later."""

    async def identify(self, params: Mapping[str, str], flow: Mapping[str, Any], redirect_uri: str) -> Person:
        """Redeem the code and ask."""
        token = await self.fetch_access_token(
            redirect_uri=redirect_uri, code=params["code"], code_verifier=flow["code_verifier"]
        )
        if not isinstance(token.get("access_token"), str):
            raise NotBelieved("token response")
        user, addresses = await self._ask("user", token), await self._ask("user/emails", token)
        if not isinstance(user, dict) or type(user.get("id")) is not int or not isinstance(addresses, list):
            raise NotBelieved("user")
        primary = [a for a in addresses if isinstance(a, dict) and a.get("primary") is True]
        email = (
            {"email": primary[0].get("email"), "email_verified": primary[0].get("verified")}
            if primary
            else {}
        )
        return person(ISSUER, {"sub": str(user["id"]), "name": user.get("name")} | email, token)

    async def _ask(self, path: str, token: Any) -> Any:
        answer = await self.get(path, token=token)
        answer.raise_for_status()
        return answer.json()
