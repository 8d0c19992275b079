"""OpenID Connect on Authlib, with the checks that its Starlette client leaves to the application."""

import time
from collections import deque
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from joserfc.errors import BadSignatureError

from saaskit.oauth.client import ProviderClient
from saaskit.oauth.identity import LEEWAY, ExternalIdentity, InvalidProviderResponse, parse_claims
from saaskit.security import new_token
from saaskit.settings import OAuthProviderSettings

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Only asymmetric algorithms. Those that the provider or the token proposes are ignored."""
METADATA_SECONDS = 3600
MAX_AGE = 7 * 86400
"""Seconds within which the user must have authenticated at the provider, which then sends `auth_time`."""
MAX_REFETCHES = 3
"""A provider's keys are fetched again at most this often per minute, even if tokens have unknown keys."""
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class OIDCClient(ProviderClient):
    """One OpenID Connect provider. The configuration pins its `issuer`."""

    def __init__(self, name: str, settings: OAuthProviderSettings, issuer: str) -> None:
        super().__init__(name, settings, "openid email profile")
        self.issuer, self.metadata_url = issuer, f"{issuer}/.well-known/openid-configuration"
        self._keys: dict[str, Any] | None = None
        self._refetches: deque[float] = deque(maxlen=MAX_REFETCHES)

    async def create_authorization_url(
        self, redirect_uri: str | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Add a nonce of 256 bits (Authlib's has fewer than 128) and `max_age`."""
        kwargs = {"max_age": MAX_AGE} | kwargs
        return await super().create_authorization_url(redirect_uri, nonce=new_token(), **kwargs)

    async def load_server_metadata(self) -> dict[str, Any]:
        """Return the pinned issuer's endpoints, at most an hour old (Discovery §4.3), and nothing else."""
        if time.time() - self.server_metadata.get("_loaded_at", 0) < METADATA_SECONDS:
            return self.server_metadata
        document = await self._fetch(self.metadata_url)
        if document.get("issuer") != self.issuer:
            raise InvalidProviderResponse("metadata: issuer")
        metadata: dict[str, Any] = {
            "issuer": self.issuer,
            "id_token_signing_alg_values_supported": ALGORITHMS,
            "sends_issuer": document.get("authorization_response_iss_parameter_supported") is True,
            "_loaded_at": time.time(),
        }
        for name in (*ENDPOINTS, "userinfo_endpoint"):
            value = document.get(name)
            if value is None and name not in ENDPOINTS:
                continue
            if not isinstance(value, str) or urlsplit(value).scheme != urlsplit(self.issuer).scheme:
                raise InvalidProviderResponse(f"metadata: {name}")
            metadata[name] = value
        self._keys = None  # the provider may have withdrawn them
        self.server_metadata = metadata
        return metadata

    def _get_oauth_client(self, **metadata: Any) -> Any:
        """Pass on the endpoints only: Authlib would take any metadata as options of the client."""
        endpoints = {name: metadata[name] for name in ENDPOINTS if name in metadata}
        return super()._get_oauth_client(**endpoints)  # type: ignore[misc]

    async def fetch_jwk_set(self, force: bool = False) -> dict[str, Any]:
        """Return the provider's keys. Authlib forces a new request if a token names an unknown key."""
        now = time.monotonic()
        if force and len(self._refetches) == MAX_REFETCHES and now - self._refetches[0] < 60:
            raise InvalidProviderResponse("keys: too many unknown ones")
        if force:
            self._refetches.append(now)
        if self._keys is None or force:
            self._keys = await self._fetch((await self.load_server_metadata())["jwks_uri"])
        return self._keys

    async def identify(
        self, response: Mapping[str, str], *, code_verifier: str, nonce: str | None, redirect_uri: str
    ) -> ExternalIdentity:
        """Redeem the code, and validate the ID token."""
        if not nonce:
            raise InvalidProviderResponse("nonce: the authorization request had none")
        await self._check_issuer(response)
        token = await self.redeem(response["code"], code_verifier, redirect_uri)
        if not isinstance(token.get("id_token"), str):
            raise InvalidProviderResponse("token response: id_token")
        if str(token.get("token_type")).lower() != "bearer":
            raise InvalidProviderResponse("token response: token_type")
        claims = await self._id_token_claims(token, nonce)
        return parse_claims(self.issuer, await self._with_userinfo(claims, token), token)

    async def _check_issuer(self, response: Mapping[str, str]) -> None:
        """Check, before the code is sent anywhere, that this issuer sent the response (RFC 9207)."""
        metadata = await self.load_server_metadata()
        if response.get("iss", None if metadata["sends_issuer"] else self.issuer) != self.issuer:
            raise InvalidProviderResponse("authorization response: iss")

    async def _id_token_claims(self, token: dict[str, Any], nonce: str) -> dict[str, Any]:
        options = {
            "iss": {"essential": True, "value": self.issuer},
            "aud": {"essential": True, "value": self.client_id},
            "sub": {"essential": True},
        }
        try:
            claims = await self.parse_id_token(token, nonce, claims_options=options, leeway=LEEWAY)
        except BadSignatureError:
            # A key without an id may have been replaced. Authlib fetches the keys again for unknown ids only.
            await self.fetch_jwk_set(force=True)
            claims = await self.parse_id_token(token, nonce, claims_options=options, leeway=LEEWAY)
        claims = dict(claims or {})
        if claims.get("aud") not in (self.client_id, [self.client_id]):
            raise InvalidProviderResponse("aud: not only this client")
        for name in ("exp", "iat"):
            if not isinstance(claims.get(name), int | float) or isinstance(claims[name], bool):
                raise InvalidProviderResponse(name)
        return claims

    async def _with_userinfo(self, claims: dict[str, Any], token: dict[str, Any]) -> dict[str, Any]:
        """Add the claims of the userinfo endpoint if the e-mail address is missing.

        The `sub` of both must be the same (Core §5.3.2).
        """
        metadata = await self.load_server_metadata()
        if "email" in claims or "userinfo_endpoint" not in metadata:
            return claims
        response = await self.get(metadata["userinfo_endpoint"], token=token)
        response.raise_for_status()
        userinfo = response.json()
        if not isinstance(userinfo, dict) or userinfo.get("sub") != claims["sub"]:
            raise InvalidProviderResponse("userinfo: sub")
        return userinfo | claims

    async def _fetch(self, url: str) -> dict[str, Any]:
        async with self._get_session() as client:  # type: ignore[attr-defined]
            response = await client.request("GET", url, withhold_token=True)
        response.raise_for_status()
        document = response.json()
        if not isinstance(document, dict):
            raise InvalidProviderResponse("not a JSON object")
        return document
