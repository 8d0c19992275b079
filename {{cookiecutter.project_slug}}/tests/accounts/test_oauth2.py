"""Signing in with GitHub, which speaks OAuth 2 and answers who somebody is by its API."""

import json
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import pytest
from httpx2 import AsyncClient, Response
from pydantic import SecretStr
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.identity import oauth2
from app.core.identity.providers import Providers
from app.models.identities import LinkedIdentity
from app.models.users import User
from app.setting_types import Provider
from tests.scripted import Scripted, answer, scripted

ADA = {"id": 7, "login": "ada", "name": "Ada Lindqvist", "email": "public@example.com"}
MINE = {"email": "ada@example.com", "primary": True, "verified": True}
OTHER = {"email": "second@example.com", "primary": False, "verified": True}


@pytest.fixture
async def hub(app, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scripted]:
    """GitHub as it answers, on a socket of this machine, and Ada's account there."""
    async with scripted() as script:
        monkeypatch.setitem(oauth2.URLS, "access_token_url", f"{script.url}/login/oauth/access_token")
        monkeypatch.setitem(oauth2.URLS, "api_base_url", f"{script.url}/")
        known = {"github": Provider(client_id="app", client_secret=SecretStr("s3cret"), keep_tokens=True)}
        settings = app.state.settings.model_copy(update={"providers": known})
        monkeypatch.setitem(app.state._state, "settings", settings)
        monkeypatch.setitem(app.state._state, "providers", Providers(settings))
        token = {"access_token": "gho_ada", "token_type": "bearer", "scope": "read:user,user:email"}
        script["/login/oauth/access_token"] = answer(json.dumps(token))
        script["/user"] = answer(json.dumps(ADA))
        script["/user/emails"] = answer(json.dumps([OTHER, MINE]))
        yield script


async def sign_in(client: AsyncClient) -> Response:
    away = await client.get("/api/auth/login/github", params={"next": "/welcome"})
    state = parse_qs(urlsplit(away.headers["location"]).query)["state"]
    return await client.get("/api/auth/callback/github", params={"code": "c0de", "state": state[0]})


async def people(db: AsyncSession) -> int:
    return await db.scalar(select(func.count()).select_from(User)) or 0


async def test_providers_and_what_is_linked_are_listed(client: AsyncClient, hub: Scripted):
    listed = (await client.get("/api/auth/providers")).json()["items"]
    assert [item["name"] for item in listed] == ["github"]
    await sign_in(client)
    (identity,) = (await client.get("/api/identities")).json()["items"]
    assert identity["provider"] == "github"


async def test_somebody_new_gets_an_account(client: AsyncClient, hub: Scripted, db: AsyncSession):
    done = await sign_in(client)
    assert (done.status_code, done.headers["location"]) == (303, "/welcome")
    user = (await client.get("/api/session")).json()["user"]
    assert (user["email"], user["name"]) == ("ada@example.com", "Ada Lindqvist")
    identity = await db.scalar(select(LinkedIdentity))
    assert identity
    assert (identity.issuer, identity.subject) == ("https://github.com", "7")
    assert identity.tokens
    assert "gho_ada" not in str(identity.tokens), "encrypted"


async def test_what_leaves(client: AsyncClient, hub: Scripted):
    """PKCE also here; the secret goes to the token endpoint, the token to the API, neither anywhere else."""
    away = (await client.get("/api/auth/login/github")).headers["location"]
    sent = parse_qs(urlsplit(away).query)
    assert away.startswith("https://github.com/login/oauth/authorize?")
    assert sent["redirect_uri"] == ["https://test/api/auth/callback/github"]
    assert (sent["code_challenge_method"], sent["scope"]) == (["S256"], ["read:user user:email"])
    assert "s3cret" not in away
    await client.get("/api/auth/callback/github", params={"code": "c0de", "state": sent["state"][0]})
    redeem, *asked = hub.asked
    form = parse_qs(redeem.body.decode())
    assert (form["code"], form["redirect_uri"]) == (["c0de"], sent["redirect_uri"])
    assert len(form["code_verifier"][0]) >= 43
    assert [each.target for each in asked] == ["/user", "/user/emails"]
    assert [each.header("authorization") for each in asked] == [["Bearer gho_ada"]] * 2


async def test_the_number_is_the_account_whatever_its_name(client: AsyncClient, hub: Scripted):
    await sign_in(client)
    first = (await client.get("/api/session")).json()["user"]["id"]
    hub["/user"] = answer(json.dumps(ADA | {"login": "countess"}))
    hub["/user/emails"] = answer(json.dumps([MINE | {"email": "new@example.com"}]))
    await sign_in(client)
    assert (await client.get("/api/session")).json()["user"]["id"] == first


async def test_another_account_with_the_old_name_is_somebody_else(
    client: AsyncClient, hub: Scripted, db: AsyncSession
):
    await sign_in(client)
    hub["/user"] = answer(json.dumps(ADA | {"id": 8}))
    assert (await sign_in(client)).status_code == 409, "her address belongs to the account of number 7"
    assert await people(db) == 1


@pytest.mark.parametrize(
    "emails",
    [[], [OTHER], [MINE | {"verified": False}], [MINE | {"verified": "true"}], [MINE | {"primary": 1}]],
)
async def test_without_a_primary_verified_address_there_is_no_account(
    client: AsyncClient, hub: Scripted, db: AsyncSession, emails: list
):
    hub["/user/emails"] = answer(json.dumps(emails))
    assert (await sign_in(client)).status_code == 403
    assert await people(db) == 0


@pytest.mark.parametrize(
    ("path", "act", "status"),
    [
        ("/user", answer(json.dumps(ADA | {"id": "7"})), 400),
        ("/user", answer(json.dumps(ADA | {"id": True})), 400),
        ("/user", answer("[]"), 400),
        ("/user", answer("{}", 401), 502),
        ("/user", answer("{}", 500), 502),
        ("/user/emails", answer("{}"), 400),
        ("/user/emails", answer("<html>"), 400),
        ("/login/oauth/access_token", answer('{"error": "bad_verification_code"}'), 400),
        ("/login/oauth/access_token", answer('{"access_token": 7}'), 400),
        ("/login/oauth/access_token", answer("{}", 500), 502),
    ],
)
async def test_a_strange_answer_lets_nobody_in(
    client: AsyncClient, hub: Scripted, db: AsyncSession, path: str, act, status: int
):
    hub[path] = act
    refused = await sign_in(client)
    assert refused.status_code == status
    assert refused.headers["content-type"] == "application/problem+json"
    assert (await people(db), (await client.get("/api/session")).status_code) == (0, 401)
