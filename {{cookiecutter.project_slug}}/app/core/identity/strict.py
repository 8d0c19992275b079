"""OpenID Connect on Authlib, with the checks that its Starlette client leaves to the application."""

import time
from collections import deque
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from authlib.integrations.starlette_client import StarletteOAuth2App
from joserfc.errors import BadSignatureError

from app.core.identity.person import LEEWAY, NotBelieved, Person, person
from app.core.secrets import new_token

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Asymmetric ones only; ours, whatever provider or token propose."""
METADATA_SECONDS = 3600
MAX_AGE = 7 * 86400
"""How long ago somebody may have signed in there. Whoever is asked for it has to say when it was."""
REFETCHES = 3
"""Of a provider's keys in a minute, however many tokens name unknown ones."""
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class StrictApp(StarletteOAuth2App):
    """One OpenID Connect provider. `issuer` is pinned by configuration."""

    issuer = ""

    def __init__(self, *arguments: Any, issuer: str, **options: Any) -> None:
        discovery = f"{issuer}/.well-known/openid-configuration"
        super().__init__(*arguments, **options)
        self.issuer, self.discovery = issuer, discovery
        self._keys: dict[str, Any] | None = None
        self._refetched: deque[float] = deque(maxlen=REFETCHES)

    async def create_authorization_url(
        self, redirect_uri: str | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """With a nonce of 256 bits; Authlib's own has fewer than 128."""
        kwargs = {"max_age": MAX_AGE} | kwargs
        return await super().create_authorization_url(redirect_uri, nonce=new_token(), **kwargs)

    async def load_server_metadata(self) -> dict[str, Any]:
        """Discovery §4.3: the issuer it names is the one we asked. Nothing else of it reaches the client."""
        if time.time() - self.server_metadata.get("_loaded_at", 0) < METADATA_SECONDS:
            return self.server_metadata
        said = await self._fetch(self.discovery)
        if said.get("issuer") != self.issuer:
            raise NotBelieved("metadata: issuer")
        kept: dict[str, Any] = {"issuer": self.issuer, "id_token_signing_alg_values_supported": ALGORITHMS}
        for name in (*ENDPOINTS, "userinfo_endpoint"):
            value = said.get(name)
            if value is None and name not in ENDPOINTS:
                continue
            if not isinstance(value, str) or urlsplit(value).scheme != urlsplit(self.issuer).scheme:
                raise NotBelieved(f"metadata: {name}")
            kept[name] = value
        sends_issuer = said.get("authorization_response_iss_parameter_supported", False)
        self._keys = None  # they may have been withdrawn
        self.server_metadata = kept | {"sends_issuer": sends_issuer is True, "_loaded_at": time.time()}
        return self.server_metadata

    def _get_oauth_client(self, **metadata: Any) -> Any:
        """Authlib hands metadata on as options of the client: only the endpoints may pass."""
        endpoints = {name: metadata[name] for name in ENDPOINTS if name in metadata}
        return super()._get_oauth_client(**endpoints)  # type: ignore[misc]

    async def fetch_jwk_set(self, force: bool = False) -> dict[str, Any]:
        """The provider's keys; fetched again for unknown ones, three times a minute at most."""
        now = time.monotonic()
        if force and len(self._refetched) == REFETCHES and now - self._refetched[0] < 60:
            raise NotBelieved("keys: too many unknown ones")
        if force:
            self._refetched.append(now)
        if self._keys is None or force:
            self._keys = await self._fetch((await self.load_server_metadata())["jwks_uri"])
        return self._keys

    async def _fetch(self, url: str) -> dict[str, Any]:
        async with self._get_session() as client:  # type: ignore[attr-defined]
            answer = await client.request("GET", url, withhold_token=True)
        answer.raise_for_status()
        document = answer.json()
        if not isinstance(document, dict):
            raise NotBelieved("no JSON object")
        return document

    async def check_response(self, params: Mapping[str, str]) -> None:
        """RFC 9207, before a code is sent anywhere: the answer comes from the issuer that was asked."""
        metadata = await self.load_server_metadata()
        if params.get("iss", None if metadata["sends_issuer"] else self.issuer) != self.issuer:
            raise NotBelieved("response: iss")

    async def identify(self, params: Mapping[str, str], flow: Mapping[str, Any], redirect_uri: str) -> Person:
        """Redeem the code: nobody is signed in without a validated ID token."""
        await self.check_response(params)
        token = await self.fetch_access_token(
            redirect_uri=redirect_uri, code=params["code"], code_verifier=flow["code_verifier"]
        )
        if not isinstance(token.get("access_token"), str) or not isinstance(token.get("id_token"), str):
            raise NotBelieved("token response")
        if str(token.get("token_type")).lower() != "bearer":
            raise NotBelieved("token type")
        claims = await self._claims(dict(token), flow["nonce"])
        return person(self.issuer, await self._more(claims, token), token)

    async def _claims(self, token: dict[str, Any], nonce: str) -> dict[str, Any]:
        options = {
            "iss": {"essential": True, "value": self.issuer},
            "aud": {"essential": True, "value": self.client_id},
            "sub": {"essential": True},
        }
        try:
            claims = await self.parse_id_token(token, nonce, claims_options=options, leeway=LEEWAY)
        except BadSignatureError:
            # A key without a name was replaced, perhaps: Authlib asks again for unknown names only.
            await self.fetch_jwk_set(force=True)
            claims = await self.parse_id_token(token, nonce, claims_options=options, leeway=LEEWAY)
        claims = dict(claims or {})
        if claims.get("aud") not in (self.client_id, [self.client_id]):
            raise NotBelieved("aud: others besides us")
        for name in ("exp", "iat"):
            if not isinstance(claims.get(name), int | float) or isinstance(claims[name], bool):
                raise NotBelieved(name)
        return claims

    async def _more(self, claims: dict[str, Any], token: dict[str, Any]) -> dict[str, Any]:
        """The address may be at the userinfo endpoint instead, whose `sub` has to agree (Core §5.3.2)."""
        metadata = await self.load_server_metadata()
        if "email" in claims or "userinfo_endpoint" not in metadata:
            return claims
        said = await self.get(metadata["userinfo_endpoint"], token=token)
        said.raise_for_status()
        more = said.json()
        if not isinstance(more, dict) or more.get("sub") != claims["sub"]:
            raise NotBelieved("userinfo: sub")
        return more | claims
