"""Sign-in with OpenID Connect, against a certified provider and a malicious one."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx2
import pytest
from devstack import free_port
from packages.saaskit.oauth.provider import consent, follow, install, running
from pydantic import SecretStr
from saaskit.errors import BadGateway, NotFound, Problem
from saaskit.oauth import AuthorizationRequest, ExternalIdentity, OAuthProviders, SignInFailed, oidc
from saaskit.settings import OAuthProviderSettings

pytestmark = pytest.mark.slow

CALLBACK = "https://app.test/callback/"
REFUSED_ATTACKS = [
    "iss_response",
    "repeated_state",
    "other_state",
    "denied",
    "wrong_nonce",
    "no_nonce",
    "wrong_issuer",
    "wrong_audience",
    "two_audiences",
    "wrong_azp",
    "expired",
    "no_expiry",
    "not_valid_yet",
    "issued_in_future",
    "no_subject",
    "empty_subject",
    "number_subject",
    "long_subject",
    "wrong_at_hash",
    "alg_none",
    "bad_signature",
    "other_key",
    "unknown_key",
    "key_in_header",
    "key_url_in_header",
    "hmac_with_client_secret",
    "no_id_token",
    "no_access_token",
    "token_type",
    "token_error",
    "iss_missing",
    "future_auth_time",
    "text_auth_time",
]


@pytest.fixture(scope="session")
def folder(pytestconfig: pytest.Config) -> Path:
    """The folder in which the providers are installed. It is kept between runs."""
    return install(pytestconfig.cache.mkdir("providers"))


@pytest.fixture(scope="session")
def certified(folder: Path) -> Iterator[str]:
    with running(folder, "certified.js", CALLBACK + "acme") as issuer:
        yield issuer


@pytest.fixture(scope="session")
def malicious(folder: Path) -> Iterator[str]:
    with running(folder, "malicious.js") as issuer:
        yield issuer


def providers_of(issuer: str, *, step_seconds: float = 8, keys: tuple[str, ...] = ("acme",)) -> OAuthProviders:
    settings = OAuthProviderSettings(client_id="app", client_secret=SecretStr("secret"), issuer=issuer)
    return OAuthProviders(dict.fromkeys(keys, settings), lambda name: CALLBACK + name, step_seconds=step_seconds)


@pytest.fixture
def acme(certified: str) -> OAuthProviders:
    return providers_of(certified)


@pytest.fixture
async def attack(malicious: str) -> Callable[[str], Awaitable[None]]:
    """`await attack("expired")` selects the attack of the malicious provider."""

    async def select(name: str) -> None:
        async with httpx2.AsyncClient() as client:
            (await client.post(f"{malicious}/attack", json={"name": name})).raise_for_status()

    await select("none")
    return select


@pytest.fixture
def malicious_provider(malicious: str, attack: object) -> OAuthProviders:
    return providers_of(malicious)


def params_of(url: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


async def identify(
    providers: OAuthProviders, params: list[tuple[str, str]], request: AuthorizationRequest, name: str = "acme"
) -> ExternalIdentity:
    return await providers.identify(
        name, params, state=request.state, code_verifier=request.code_verifier, nonce=request.nonce
    )


async def consented(providers: OAuthProviders, login: str) -> tuple[list[tuple[str, str]], AuthorizationRequest]:
    """Return the parameters of the callback from the certified provider, and the request that led there."""
    request = await providers.authorize("acme")
    return params_of(await consent(request.url, login, CALLBACK)), request


async def sign_in(providers: OAuthProviders, login: str) -> ExternalIdentity:
    return await identify(providers, *await consented(providers, login))


async def attacked_sign_in(providers: OAuthProviders) -> ExternalIdentity:
    request = await providers.authorize("acme")
    return await identify(providers, params_of(await follow(request.url, CALLBACK)), request)


async def keys_fetched(malicious: str) -> int:
    """Return how often the keys were fetched since the attack was selected."""
    async with httpx2.AsyncClient() as client:
        return int((await client.get(f"{malicious}/fetched")).text)


async def test_a_certified_provider_identifies_a_user(acme: OAuthProviders, certified: str):
    identity = await sign_in(acme, "ada")
    assert (identity.issuer, identity.subject) == (certified, "ada")
    assert (identity.email, identity.name) == ("ada@example.com", "Name of ada")
    assert set(identity.tokens) == {"access_token"}
    assert identity.authenticated_at
    assert timedelta() <= datetime.now(UTC) - identity.authenticated_at < timedelta(minutes=1)


async def test_an_unverified_email_address_is_not_returned(acme: OAuthProviders):
    assert (await sign_in(acme, "un-verified")).email is None


async def test_the_email_address_may_come_from_userinfo(folder: Path):
    with running(folder, "certified.js", CALLBACK + "acme", "userinfo") as issuer:
        assert (await sign_in(providers_of(issuer), "bea")).email == "bea@example.com"


async def test_without_an_attack_the_sign_in_succeeds(malicious_provider: OAuthProviders):
    """The positive control of all attacks."""
    identity = await attacked_sign_in(malicious_provider)
    assert (identity.subject, identity.email) == ("mallory", "mallory@example.com")


@pytest.mark.requirement("OIDC-7")
@pytest.mark.parametrize("name", REFUSED_ATTACKS)
async def test_every_attack_is_refused(malicious_provider: OAuthProviders, attack, name: str):
    await attack(name)
    with pytest.raises(SignInFailed) as caught:
        await attacked_sign_in(malicious_provider)
    assert (caught.value.status, caught.value.event) == (400, "identity.refused")
    assert caught.value.detail == "Sign-in could not be completed. Start again."


@pytest.mark.requirement("OIDC-7")
async def test_an_error_of_the_token_endpoint_is_refused(malicious_provider: OAuthProviders, attack):
    await attack("token_500")
    with pytest.raises(BadGateway) as caught:
        await attacked_sign_in(malicious_provider)
    assert caught.value.event == "identity.failed"


@pytest.mark.requirement("OIDC-7")
@pytest.mark.parametrize("name", ["text_email_verified", "list_email"])
async def test_claims_are_strictly_typed(malicious_provider: OAuthProviders, attack, name: str):
    await attack(name)
    assert (await attacked_sign_in(malicious_provider)).email is None


@pytest.mark.requirement("OIDC-9")
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("metadata_issuer", SignInFailed),
        ("metadata_endpoint", SignInFailed),
        ("metadata_scheme", SignInFailed),
        ("html", SignInFailed),
        ("list", SignInFailed),
        ("redirect", BadGateway),
        ("error", BadGateway),
        ("huge", BadGateway),
        ("bomb", BadGateway),
    ],
)
async def test_invalid_metadata_is_a_problem_in_time(
    malicious_provider: OAuthProviders, attack, name: str, error: type[Problem]
):
    await attack(name)
    async with asyncio.timeout(20):
        with pytest.raises(error):
            await malicious_provider.authorize("acme")


@pytest.mark.requirement("OIDC-9")
async def test_a_provider_that_does_not_respond_is_a_bad_gateway_in_time(malicious: str, attack):
    await attack("slow")
    with pytest.raises(BadGateway):
        await providers_of(malicious, step_seconds=0.5).authorize("acme")


@pytest.mark.requirement("OIDC-9")
async def test_a_dead_provider_is_a_bad_gateway():
    with pytest.raises(BadGateway) as caught:
        await providers_of(f"http://127.0.0.1:{free_port()}").authorize("acme")
    assert (caught.value.status, caught.value.event) == (502, "identity.failed")


@pytest.mark.requirement("OIDC-6")
@pytest.mark.parametrize("name", ["metadata_options", "metadata_algorithms"])
async def test_metadata_does_not_change_the_client(malicious_provider: OAuthProviders, attack, name: str):
    await attack(name)
    query = parse_qs(urlsplit((await malicious_provider.authorize("acme")).url).query)
    assert query["code_challenge_method"] == ["S256"]
    assert query["scope"] == ["openid email profile"]
    assert (await attacked_sign_in(malicious_provider)).subject == "mallory"


@pytest.mark.requirement("OIDC-6")
@pytest.mark.requirement("OIDC-12")
async def test_the_authorization_request(acme: OAuthProviders, certified: str):
    request = await acme.authorize("acme")
    query = parse_qs(urlsplit(request.url).query)
    assert request.url.startswith(certified)
    assert query["redirect_uri"] == [CALLBACK + "acme"]
    assert query["code_challenge_method"] == ["S256"]
    assert (query["state"], query["nonce"]) == ([request.state], [request.nonce])
    assert request.nonce
    # Letters and digits have nearly six bits each.
    assert min(len(request.state), len(request.nonce)) >= 22
    assert len(query["code_challenge"][0]) == 43
    assert len(request.code_verifier) >= 43
    assert request.code_verifier not in request.url


@pytest.mark.requirement("OIDC-1")
@pytest.mark.parametrize("change", ["missing", "wrong", "empty", "repeated"])
async def test_the_code_is_not_sent_with_an_invalid_state(acme: OAuthProviders, change: str):
    params, request = await consented(acme, "ada")
    others = [(key, value) for key, value in params if key != "state"]
    states = {
        "missing": [],
        "wrong": [("state", "x" * 30)],
        "empty": [("state", "")],
        "repeated": [("state", request.state)] * 2,
    }
    with pytest.raises(SignInFailed):
        await identify(acme, others + states[change], request)
    identity = await identify(acme, params, request)
    assert identity.subject == "ada", "the code, which works only once, was not sent"


async def test_an_empty_state_is_refused(acme: OAuthProviders):
    """The caller has lost the state of its request."""
    params, request = await consented(acme, "ada")
    params = [(key, "" if key == "state" else value) for key, value in params]
    with pytest.raises(SignInFailed):
        await acme.identify("acme", params, state="", code_verifier=request.code_verifier, nonce=request.nonce)


@pytest.mark.requirement("OIDC-3")
async def test_a_code_works_once(acme: OAuthProviders):
    params, request = await consented(acme, "ada")
    await identify(acme, params, request)
    with pytest.raises(SignInFailed):
        await identify(acme, params, request)


@pytest.mark.requirement("OIDC-4")
async def test_a_code_belongs_to_one_callback(certified: str):
    providers = providers_of(certified, keys=("acme", "twin"))
    params, request = await consented(providers, "ada")
    with pytest.raises(SignInFailed):
        await identify(providers, params, request, name="twin")


@pytest.mark.requirement("OIDC-5")
async def test_the_code_of_another_user_is_refused(acme: OAuthProviders, certified: str):
    params, _ = await consented(acme, "mallory")
    request = await acme.authorize("acme")
    injected = [("code", dict(params)["code"]), ("state", request.state), ("iss", certified)]
    with pytest.raises(SignInFailed):
        await identify(acme, injected, request)


@pytest.mark.requirement("OIDC-10")
async def test_an_error_response_is_refused_even_with_a_code(acme: OAuthProviders):
    params, request = await consented(acme, "ada")
    with pytest.raises(SignInFailed) as caught:
        await identify(acme, [*params, ("error", "access_denied"), ("error_description", "<script>")], request)
    assert "script" not in str(caught.value.detail)


@pytest.mark.requirement("OIDC-8")
async def test_replaced_keys_are_fetched(acme: OAuthProviders, certified: str):
    assert (await sign_in(acme, "ada")).subject == "ada"
    async with httpx2.AsyncClient() as operator:
        await operator.get(f"{certified}/rotate")
    assert (await sign_in(acme, "ada")).subject == "ada"


@pytest.mark.requirement("OIDC-8")
async def test_replaced_keys_without_an_id_are_fetched(malicious_provider: OAuthProviders, attack):
    for name in ("first_key", "second_key"):
        await attack(name)
        assert (await attacked_sign_in(malicious_provider)).subject == "mallory"


@pytest.mark.requirement("OIDC-8")
async def test_keys_are_fetched_again_with_the_metadata(
    malicious_provider: OAuthProviders, malicious: str, monkeypatch: pytest.MonkeyPatch
):
    for _ in range(2):
        await attacked_sign_in(malicious_provider)
    assert await keys_fetched(malicious) == 1
    monkeypatch.setattr(oidc, "METADATA_SECONDS", -1)
    await attacked_sign_in(malicious_provider)
    assert await keys_fetched(malicious) >= 2


@pytest.mark.requirement("OIDC-8")
async def test_unknown_keys_cause_few_fetches(malicious_provider: OAuthProviders, malicious: str, attack):
    await attack("unknown_key")
    for _ in range(8):
        with pytest.raises(SignInFailed):
            await attacked_sign_in(malicious_provider)
    assert 1 <= await keys_fetched(malicious) <= 4


@pytest.mark.requirement("ACCT-10")
async def test_the_time_of_authentication_is_the_providers(malicious_provider: OAuthProviders, attack):
    """A provider that signs users in without asking them does not make a fresh session."""
    await attack("old_auth_time")
    identity = await attacked_sign_in(malicious_provider)
    assert identity.authenticated_at
    assert timedelta(minutes=59) < datetime.now(UTC) - identity.authenticated_at < timedelta(minutes=62)


@pytest.mark.requirement("ACCT-10")
async def test_a_provider_is_asked_to_authenticate_the_user_again(acme: OAuthProviders):
    for reauthenticate, max_age in ((False, "604800"), (True, "0")):
        request = await acme.authorize("acme", reauthenticate=reauthenticate)
        assert parse_qs(urlsplit(request.url).query)["max_age"] == [max_age]


async def test_an_unknown_provider_is_not_found(acme: OAuthProviders):
    with pytest.raises(NotFound):
        await acme.authorize("unknown")
    with pytest.raises(NotFound):
        await acme.identify("unknown", [], state="x", code_verifier="x", nonce="x")
    with pytest.raises(NotFound):
        acme.settings("unknown")
