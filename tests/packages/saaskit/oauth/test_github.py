"""Sign-in with GitHub, which speaks OAuth 2.0 and has the user in its API."""

import json
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr
from saaskit.errors import BadGateway, Problem
from saaskit.oauth import AuthorizationRequest, ExternalIdentity, OAuthProviders, SignInFailed, github
from saaskit.settings import OAuthProviderSettings
from saaskit.testing import UpstreamServer, respond, upstream_server

ADA = {"id": 7, "login": "ada", "name": "Ada Lindqvist", "email": "public@example.com"}
PRIMARY = {"email": "ada@example.com", "primary": True, "verified": True}
SECONDARY = {"email": "second@example.com", "primary": False, "verified": True}


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[UpstreamServer]:
    """GitHub's token endpoint and API, with Ada's account."""
    async with upstream_server() as server:
        monkeypatch.setitem(github.URLS, "access_token_url", f"{server.url}/login/oauth/access_token")
        monkeypatch.setitem(github.URLS, "api_base_url", f"{server.url}/")
        token = {"access_token": "gho_ada", "token_type": "bearer", "scope": "read:user,user:email"}
        server["/login/oauth/access_token"] = respond(json.dumps(token))
        server["/user"] = respond(json.dumps(ADA))
        server["/user/emails"] = respond(json.dumps([SECONDARY, PRIMARY]))
        yield server


@pytest.fixture
def providers(server: UpstreamServer) -> OAuthProviders:
    settings = OAuthProviderSettings(client_id="app", client_secret=SecretStr("s3cret"))
    return OAuthProviders({"github": settings}, lambda name: f"https://app.test/callback/{name}")


async def identify(providers: OAuthProviders, request: AuthorizationRequest) -> ExternalIdentity:
    params = [("code", "c0de"), ("state", request.state)]
    return await providers.identify(
        "github", params, state=request.state, code_verifier=request.code_verifier, nonce=request.nonce
    )


async def sign_in(providers: OAuthProviders) -> ExternalIdentity:
    return await identify(providers, await providers.authorize("github"))


async def test_the_api_identifies_the_user(providers: OAuthProviders):
    identity = await sign_in(providers)
    assert (identity.issuer, identity.subject) == ("https://github.com", "7")
    assert (identity.email, identity.name) == ("ada@example.com", "Ada Lindqvist")
    assert identity.tokens == {"access_token": "gho_ada"}
    assert identity.authenticated_at is None


async def test_secrets_are_sent_to_their_endpoints_only(providers: OAuthProviders, server: UpstreamServer):
    request = await providers.authorize("github")
    sent = parse_qs(urlsplit(request.url).query)
    assert request.url.startswith("https://github.com/login/oauth/authorize?")
    assert sent["redirect_uri"] == ["https://app.test/callback/github"]
    assert (sent["code_challenge_method"], sent["scope"]) == (["S256"], ["read:user user:email"])
    assert "s3cret" not in request.url
    await identify(providers, request)
    redemption, *api = server.requests
    form = parse_qs(redemption.body.decode())
    assert (form["code"], form["redirect_uri"]) == (["c0de"], sent["redirect_uri"])
    assert form["code_verifier"] == [request.code_verifier]
    assert len(request.code_verifier) >= 43
    assert [each.target for each in api] == ["/user", "/user/emails"]
    assert [each.header("authorization") for each in api] == [["Bearer gho_ada"]] * 2


async def test_the_number_of_the_account_is_the_subject(providers: OAuthProviders, server: UpstreamServer):
    server["/user"] = respond(json.dumps(ADA | {"login": "countess"}))
    server["/user/emails"] = respond(json.dumps([PRIMARY | {"email": "new@example.com"}]))
    renamed = await sign_in(providers)
    assert (renamed.subject, renamed.email) == ("7", "new@example.com")
    server["/user"] = respond(json.dumps(ADA | {"id": 8}))
    assert (await sign_in(providers)).subject == "8", "another account that took over the name"


@pytest.mark.parametrize(
    "emails",
    [
        [],
        [SECONDARY],
        [PRIMARY | {"verified": False}],
        [PRIMARY | {"verified": "true"}],
        [PRIMARY | {"primary": 1}],
    ],
)
async def test_only_a_primary_verified_email_address_is_returned(
    providers: OAuthProviders, server: UpstreamServer, emails: list
):
    server["/user/emails"] = respond(json.dumps(emails))
    assert (await sign_in(providers)).email is None


@pytest.mark.parametrize(
    ("path", "responder", "error"),
    [
        ("/user", respond(json.dumps(ADA | {"id": "7"})), SignInFailed),
        ("/user", respond(json.dumps(ADA | {"id": True})), SignInFailed),
        ("/user", respond("[]"), SignInFailed),
        ("/user", respond("{}", 401), BadGateway),
        ("/user", respond("{}", 500), BadGateway),
        ("/user/emails", respond("{}"), SignInFailed),
        ("/user/emails", respond("<html>"), SignInFailed),
        ("/login/oauth/access_token", respond('{"error": "bad_verification_code"}'), SignInFailed),
        ("/login/oauth/access_token", respond('{"access_token": 7}'), SignInFailed),
        ("/login/oauth/access_token", respond("{}", 500), BadGateway),
    ],
)
async def test_an_invalid_response_is_refused(
    providers: OAuthProviders, server: UpstreamServer, path: str, responder, error: type[Problem]
):
    server[path] = responder
    with pytest.raises(error) as caught:
        await sign_in(providers)
    assert caught.value.event in ("identity.refused", "identity.failed")
