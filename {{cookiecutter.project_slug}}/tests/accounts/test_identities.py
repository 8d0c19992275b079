"""Sign-in with an OpenID Connect provider and with GitHub. The platform's tests cover the protocols."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, urlsplit

import httpx2
import pytest
from httpx2 import Response
from pydantic import SecretStr
from saaskit.oauth import OAuthProviders, github
from saaskit.security import cipher
from saaskit.settings import OAuthProviderSettings
from saaskit.testing import UpstreamServer, respond, upstream_server
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import oauth_flows, rate_limits
from app.accounts.browser import FLOW, SESSION
from app.accounts.models import LinkedIdentity, OAuthFlow, Session, User
from app.settings import Settings
from app.state import State
from tests.accounts.conftest import Mailbox, unused_port
from tests.conftest import ORIGIN, Browser
from tests.factories import add_user, new_email, sign_in

CALLBACK = f"{ORIGIN}/api/auth/callback/acme"


@pytest.fixture(scope="session")
def issuer() -> Iterator[str]:
    """The identity provider of `uv run dev`. It signs in any user, without a password."""
    url = f"http://localhost:{unused_port()}"
    command = [sys.executable, "-m", "devstack.identity"]
    environment = os.environ | {"LOCAL_PROVIDER": url}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdout
        assert server.stdout.readline(), "the provider did not start"
        yield url
        server.terminate()


def configure(state: State, **providers: OAuthProviderSettings) -> None:
    state["settings"] = state["settings"].model_copy(update={"providers": providers})
    state["oauth"] = OAuthProviders(providers, redirect_uri=state["settings"].oauth_redirect_uri)


@pytest.fixture
def provider(state: State, issuer: str) -> str:
    """The application knows the local provider as `acme` and as `twin`."""
    acme = OAuthProviderSettings(
        client_id="app", client_secret=SecretStr("secret"), issuer=issuer, keep_tokens=True
    )
    configure(state, acme=acme, twin=acme)
    return issuer


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


async def start(client: Browser, path: str = "/welcome") -> str:
    """Start a sign-in and return the provider's URL."""
    response = await client.get("/api/auth/login/acme", params={"next": path})
    assert response.status_code == 303, response.text
    return response.headers["location"]


async def consent(url: str, subject: str, **claims: object) -> str:
    """Sign in at the provider, and return the callback URL to which it redirects."""
    email = {"email": f"{subject}@example.com", "email_verified": True, "name": f"Name of {subject}"}
    async with httpx2.AsyncClient(verify=False) as browser:
        users_url = f"{url.partition('/oauth2')[0]}/users/{quote(subject)}"
        (await browser.put(users_url, json=email | claims)).raise_for_status()
        response = await browser.post(url, data={"sub": subject})
    assert response.status_code == 302, response.text
    return response.headers["location"]


async def sign_in_with_provider(client: Browser, subject: str, **claims: object) -> Response:
    return await client.get(await consent(await start(client), subject, **claims))


async def link(client: Browser, subject: str) -> Response:
    response = await client.post("/api/identities", json={"provider": "acme", "next": "/settings"})
    return await client.get(await consent(response.json()["location"], subject))


async def counts(db: AsyncSession) -> list[int]:
    """Return the number of users, sessions, identities and pending flows."""
    tables = (User, Session, LinkedIdentity, OAuthFlow)
    return [await db.scalar(select(func.count()).select_from(table)) or 0 for table in tables]


async def test_a_new_user_signs_up_and_signs_in_with_a_provider(
    client: Browser, provider: str, events, mailbox: Mailbox
):
    response = await sign_in_with_provider(client, "ada")
    assert (response.status_code, response.headers["location"]) == (303, "/welcome")
    user = (await client.get("/api/session")).json()["user"]
    assert (user["email"], user["name"]) == ("ada@example.com", "Name of ada")
    assert await events() == ["user.created", "identity.linked", "session.started"]
    assert (await mailbox.one())["to"] == "ada@example.com"
    assert (await sign_in_with_provider(client, "ada")).status_code == 303
    assert (await client.get("/api/session")).json()["user"]["id"] == user["id"]
    (identity,) = (await client.get("/api/identities")).json()["items"]
    assert (identity["provider"], identity["email"]) == ("acme", "ada@example.com")


@pytest.mark.parametrize(
    "claims", [{"email_verified": False}, {"email_verified": "true"}, {"email": ["a@b.c"]}]
)
async def test_an_unverified_email_address_creates_no_account(
    client: Browser, db: AsyncSession, provider: str, claims: dict
):
    assert (await sign_in_with_provider(client, "eve", **claims)).status_code == 403
    assert await counts(db) == [0, 0, 0, 0]


@pytest.mark.requirement("OIDC-7")
@pytest.mark.parametrize("claims", [{"iss": "https://evil.example"}, {"aud": "another"}, {"exp": 1}], ids=str)
async def test_an_invalid_id_token_is_refused_and_recorded(
    client: Browser, db: AsyncSession, provider: str, events, claims: dict
):
    response = await sign_in_with_provider(client, "mallory", **claims)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert "set-cookie" not in response.headers
    assert await counts(db) == [0, 0, 0, 0]
    assert await events() == ["identity.refused"]


@pytest.mark.requirement("OIDC-9")
async def test_a_dead_provider_is_502(client: Browser, db: AsyncSession, state: State):
    dead = OAuthProviderSettings(client_id="app", issuer=f"http://127.0.0.1:{unused_port()}")
    configure(state, acme=dead)
    response = await client.get("/api/auth/login/acme")
    assert (response.status_code, response.headers["content-type"]) == (502, "application/problem+json")
    assert await counts(db) == [0, 0, 0, 0]


@pytest.mark.requirement("OIDC-12")
async def test_the_redirect_uri_is_ours_whatever_the_host_header(client: Browser, provider: str):
    headers = {"host": "evil.example", "x-forwarded-host": "evil.example"}
    url = (await client.get("/api/auth/login/acme", headers=headers)).headers["location"]
    assert url.startswith(provider)
    assert query_of(url)["redirect_uri"] == CALLBACK


@pytest.mark.requirement("OIDC-1")
@pytest.mark.parametrize("change", ["missing", "wrong", "empty", "repeated"])
async def test_the_code_is_not_sent_with_an_invalid_state(client: Browser, provider: str, change: str):
    callback = await consent(await start(client), "ada")
    code, genuine = query_of(callback)["code"], query_of(callback)["state"]
    states = {"missing": [], "wrong": ["x" * 30], "empty": [""], "repeated": [genuine] * 2}
    params = {"code": code, "state": states[change]}
    assert (await client.get(CALLBACK, params=params)).status_code == 400
    # A code works once, so it was not sent.
    assert (await client.get(callback)).status_code == 303


@pytest.mark.requirement("OIDC-2")
async def test_another_browser_cannot_complete_a_sign_in(
    client: Browser, other: Browser, db: AsyncSession, provider: str
):
    callback = await consent(await start(client), "ada")
    assert (await other.get(callback)).status_code == 400
    await start(other)
    assert (await other.get(callback)).status_code == 400
    assert (await counts(db))[:3] == [0, 0, 0]


@pytest.mark.requirement("OIDC-3")
async def test_a_callback_works_once(client: Browser, provider: str):
    callback = await consent(await start(client), "ada")
    assert (await client.get(callback)).status_code == 303
    assert (await client.get(callback)).status_code == 400
    assert (await client.get("/api/session")).status_code == 200


@pytest.mark.requirement("OIDC-4")
async def test_a_callback_belongs_to_one_provider(client: Browser, db: AsyncSession, provider: str):
    callback = await consent(await start(client), "ada")
    assert (await client.get(callback.replace("/acme", "/twin"))).status_code == 400
    assert (await client.get(callback)).status_code == 400
    assert await counts(db) == [0, 0, 0, 0]


@pytest.mark.requirement("OIDC-5")
async def test_the_code_of_another_user_is_refused(client: Browser, other: Browser, provider: str):
    url, callback = await start(client), await consent(await start(other), "mallory")
    params = {
        "code": query_of(callback)["code"],
        "state": query_of(url)["state"],
    }
    assert (await client.get(CALLBACK, params=params)).status_code == 400


@pytest.mark.requirement("OIDC-10")
async def test_a_denied_sign_in_has_ended(client: Browser, provider: str, events):
    callback = await consent(await start(client), "ada")
    state = query_of(callback)["state"]
    error = {"error": "access_denied", "error_description": "<script>alert(1)</script>", "state": state}
    denied = await client.get(CALLBACK, params=error)
    assert denied.status_code == 400
    assert "script" not in denied.text
    assert await events() == ["identity.denied", "identity.refused"]
    assert (await client.get(callback)).status_code == 400


@pytest.mark.requirement("OIDC-11")
async def test_the_browser_returns_to_paths_of_ours_only(client: Browser, provider: str):
    for path in ("https://evil.example", "//evil.example", "/\\evil.example", "/a\r\nset-cookie: x=y"):
        assert (await client.get("/api/auth/login/acme", params={"next": path})).status_code == 422
    callback = await consent(await start(client, "/projects/7?tab=a%20b#top"), "ada")
    assert (await client.get(callback)).headers["location"] == "/projects/7?tab=a%20b#top"


@pytest.mark.requirement("OIDC-18")
@pytest.mark.parametrize("cookie", ["", "x", "A" * 43, "A" * 8000], ids=["empty", "short", "other", "long"])
async def test_an_invalid_flow_cookie_is_400(client: Browser, provider: str, cookie: str):
    callback = await consent(await start(client), "ada")
    assert (await client.get(callback, headers={"cookie": f"{FLOW}={cookie}"})).status_code == 400


async def test_two_tabs_of_a_browser_sign_in(client: Browser, provider: str):
    for path, url in [(path, await start(client, path)) for path in ("/one", "/two")]:
        assert (await client.get(await consent(url, "ada"))).headers["location"] == path


async def test_pending_sign_ins_are_limited_and_expire(client: Browser, db: AsyncSession, provider: str):
    urls = [await start(client) for _ in range(oauth_flows.MAX_PER_BROWSER + 2)]
    assert (await counts(db))[3] == oauth_flows.MAX_PER_BROWSER
    expired = func.now() - timedelta(seconds=oauth_flows.MAX_AGE + 1)
    await db.execute(update(OAuthFlow).values(created_at=expired))
    await db.commit()
    assert (await client.get(await consent(urls[-1], "ada"))).status_code == 400


async def test_one_network_starts_a_limited_number_of_sign_ins(client: Browser, provider: str):
    limit = rate_limits.OAUTH_STARTS.max_requests
    statuses = [(await client.get("/api/auth/login/acme")).status_code for _ in range(limit + 1)]
    assert statuses == [303] * limit + [429]


async def test_providers_are_listed_and_an_unknown_one_is_404(client: Browser, provider: str):
    listed = (await client.get("/api/auth/providers")).json()["items"]
    assert [(item["name"], item["url"]) for item in listed] == [
        ("acme", "/api/auth/login/acme"),
        ("twin", "/api/auth/login/twin"),
    ]
    assert (await client.get("/api/auth/login/unknown")).status_code == 404


@pytest.mark.requirement("ACCT-10")
async def test_a_session_is_as_old_as_the_sign_in_at_the_provider(client: Browser, provider: str):
    """A provider that signs users in without asking them makes no recent sign-in."""
    authenticated_at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    await sign_in_with_provider(client, "ada", auth_time=int(authenticated_at.timestamp()))
    session = (await client.get("/api/session")).json()
    assert datetime.fromisoformat(session["signed_in_at"]) == authenticated_at
    assert (await client.delete("/api/me")).status_code == 403


@pytest.mark.requirement("ACCT-10")
async def test_a_signed_in_user_is_authenticated_again(client: Browser, provider: str):
    for max_age in ("604800", "0"):
        url = await start(client)
        assert query_of(url)["max_age"] == max_age
        assert (await client.get(await consent(url, "ada"))).status_code == 303


@pytest.mark.requirement("LINK-1")
async def test_a_matching_email_address_does_not_link_an_identity(
    client: Browser, db: AsyncSession, provider: str, events
):
    await add_user(db, email="ada@example.com")
    response = await sign_in_with_provider(client, "ada")
    assert (response.status_code, response.headers.get("set-cookie")) == (409, None)
    assert (await counts(db))[1:3] == [0, 0]
    assert await events() == ["identity.not_linked"]


@pytest.mark.requirement("LINK-1")
async def test_a_signed_in_user_links_an_identity_and_is_notified(
    signed_in_client: Browser, user: User, provider: str, mailbox: Mailbox, events
):
    response = await link(signed_in_client, "grace")
    assert (response.status_code, response.headers["location"]) == (303, "/settings")
    assert (await mailbox.one())["to"] == user.email
    assert "identity.linked" in await events()
    signed_in_client.cookies.delete(SESSION)
    assert (await sign_in_with_provider(signed_in_client, "grace")).status_code == 303
    assert (await signed_in_client.get("/api/me")).json()["id"] == user.id


@pytest.mark.requirement("LINK-2")
async def test_another_site_cannot_start_a_link(signed_in_client: Browser, db: AsyncSession, provider: str):
    headers = {"sec-fetch-site": "cross-site"}
    response = await signed_in_client.post("/api/identities", json={"provider": "acme"}, headers=headers)
    assert response.status_code == 403
    assert (await counts(db))[3] == 0


@pytest.mark.requirement("LINK-2")
async def test_a_link_is_completed_in_its_session_only(
    signed_in_client: Browser, other: Browser, db: AsyncSession, provider: str
):
    response = await signed_in_client.post("/api/identities", json={"provider": "acme"})
    callback = await consent(response.json()["location"], "mallory")
    other.cookies = await sign_in(db, await add_user(db))
    other.cookies.set(FLOW, signed_in_client.cookies[FLOW])
    assert (await other.get(callback)).status_code == 400
    assert (await counts(db))[2] == 0


@pytest.mark.requirement("LINK-3")
async def test_an_identity_of_another_account_is_409(
    signed_in_client: Browser, other: Browser, db: AsyncSession, provider: str
):
    await sign_in_with_provider(other, "ada")
    assert (await link(signed_in_client, "ada")).status_code == 409
    assert (await counts(db))[2] == 1


@pytest.mark.requirement("LINK-4")
async def test_the_only_way_to_sign_in_cannot_be_removed(
    client: Browser, other: Browser, db: AsyncSession, provider: str
):
    await sign_in_with_provider(client, "ada")
    (identity,) = (await client.get("/api/identities")).json()["items"]
    path = f"/api/identities/{identity['id']}"
    other.cookies = await sign_in(db, await add_user(db))
    assert (await other.delete(path)).status_code == 404
    assert (await client.delete(path)).status_code == 409
    await link(client, "ada-at-work")
    assert (await client.delete(path)).status_code == 204
    (left,) = (await client.get("/api/identities")).json()["items"]
    assert left["email"] == "ada-at-work@example.com"


@pytest.mark.requirement("LINK-5")
@pytest.mark.parametrize("former", [{"subject": "former"}, {"issuer": "https://x.example"}], ids=str)
async def test_a_reassigned_email_address_does_not_open_the_old_account(
    client: Browser, db: AsyncSession, provider: str, former: dict
):
    """The address is the same, but the subject or the issuer differs."""
    await sign_in_with_provider(client, "ada")
    await db.execute(update(LinkedIdentity).values(former))
    await db.commit()
    client.cookies.delete(SESSION)
    response = await sign_in_with_provider(client, "ada")
    assert (response.status_code, (await counts(db))[2]) == (409, 1)


@pytest.mark.requirement("OIDC-17")
async def test_provider_tokens_are_stored_encrypted(
    client: Browser, db: AsyncSession, provider: str, settings: Settings
):
    stored = []
    for _ in range(2):
        await sign_in_with_provider(client, "ada")
        encrypted = await db.scalar(select(LinkedIdentity.tokens)) or b""
        assert b"access_token" not in encrypted
        stored.append(json.loads(cipher(settings.encryption_keys).decrypt(encrypted))["access_token"])
    assert stored[0] != stored[1], "the newer token replaces the older one"
    assert "token" not in (await client.get("/api/identities")).text


@pytest.mark.requirement("ACCT-7")
async def test_an_identity_linked_since_is_removed_when_an_email_change_is_reverted(
    signed_in_client: Browser, client: Browser, user: User, db: AsyncSession, mailbox: Mailbox
):
    for subject in ("1", "2"):
        await signed_in_client.put("/api/me/email", json={"email": new_email()})
        await signed_in_client.post("/api/me/email/confirmation", json={"token": await mailbox.token()})
        token = await mailbox.token()
        linked = {"provider": "x", "issuer": "https://x.example", "linked_at": datetime.now(UTC)}
        db.add(LinkedIdentity(user_id=user.id, subject=subject, **linked))
        await db.commit()
    assert (await client.post("/api/me/email/reversal", json={"token": token})).status_code == 204
    owned = select(LinkedIdentity.subject).where(LinkedIdentity.user_id == user.id)
    assert (await db.scalars(owned)).all() == ["1"]


@pytest.fixture
async def github_server(state: State, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[UpstreamServer]:
    """GitHub's token endpoint and API, with Ada's account."""
    async with upstream_server() as server:
        monkeypatch.setitem(github.URLS, "access_token_url", f"{server.url}/login/oauth/access_token")
        monkeypatch.setitem(github.URLS, "api_base_url", f"{server.url}/")
        configure(state, github=OAuthProviderSettings(client_id="app", client_secret=SecretStr("secret")))
        server["/login/oauth/access_token"] = respond('{"access_token": "gho_ada", "token_type": "bearer"}')
        server["/user"] = respond('{"id": 7, "login": "ada", "name": "Ada Lindqvist"}')
        server["/user/emails"] = respond('[{"email": "ada@example.com", "primary": true, "verified": true}]')
        yield server


async def sign_in_with_github(client: Browser) -> Response:
    url = (await client.get("/api/auth/login/github", params={"next": "/welcome"})).headers["location"]
    params = {"code": "c0de", "state": query_of(url)["state"]}
    return await client.get("/api/auth/callback/github", params=params)


async def test_a_user_signs_in_with_github(client: Browser, db: AsyncSession, github_server: UpstreamServer):
    for name in ("Ada Lindqvist", "Countess"):  # the name can change, the number cannot
        github_server["/user"] = respond(json.dumps({"id": 7, "login": "ada", "name": name}))
        response = await sign_in_with_github(client)
        assert (response.status_code, response.headers["location"]) == (303, "/welcome")
    user = (await client.get("/api/session")).json()["user"]
    assert (user["email"], user["name"]) == ("ada@example.com", "Ada Lindqvist")
    (identity,) = await db.scalars(select(LinkedIdentity))
    assert (identity.issuer, identity.subject, identity.tokens) == ("https://github.com", "7", None)
    github_server["/user"] = respond('{"id": 8, "login": "ada", "name": "Ada"}')
    assert (await sign_in_with_github(client)).status_code == 409, "another account took over the name"


async def test_github_must_have_verified_the_email_address(
    client: Browser, db: AsyncSession, github_server: UpstreamServer
):
    github_server["/user/emails"] = respond(
        '[{"email": "ada@example.com", "primary": true, "verified": false}]'
    )
    assert (await sign_in_with_github(client)).status_code == 403
    github_server["/user"] = respond("{}", 500)
    assert (await sign_in_with_github(client)).status_code == 502
    assert (await counts(db))[:3] == [0, 0, 0]
