"""Sign-in with OAuth and OpenID Connect providers. Authlib implements the protocols; saaskit adds checks.

    providers = OAuthProviders(settings.all_providers, lambda name: f"{settings.origin}/auth/callback/{name}")
    request = await providers.authorize("google")  # redirect to request.url, and keep the rest
    identity = await providers.identify(
        "google", query_params, state=request.state, code_verifier=request.code_verifier, nonce=request.nonce
    )

providers  OAuthProviders
identity   `ExternalIdentity`: the claims about a user that we accept
client     requests to providers, limited in time and size
oidc       OpenID Connect, with every check of Core §3.1.3.7, Discovery §4.3 and RFC 9207
github     GitHub, which has no ID tokens: its API returns the user
"""

from saaskit.oauth.identity import ExternalIdentity, InvalidProviderResponse, SignInFailed
from saaskit.oauth.providers import AuthorizationRequest, OAuthProviders

__all__ = [
    "AuthorizationRequest",
    "ExternalIdentity",
    "InvalidProviderResponse",
    "OAuthProviders",
    "SignInFailed",
]
