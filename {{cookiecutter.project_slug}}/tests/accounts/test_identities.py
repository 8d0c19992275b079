"""OIDC and LINK: sign-in with accounts elsewhere, against a certified provider and one that lies."""

import asyncio
import os
import subprocess
import sys
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from app.core import cookies
from app.core.db import create_engine, create_sessions
from app.core.identity import strict
from app.core.identity.providers import Providers
from app.core.secrets import cipher, digest
from app.models.identities import Flow, LinkedIdentity
from app.models.sessions import Session
from app.models.users import User
from app.services import flows, limits, sessions, stored_tokens, users
from app.setting_types import Provider
from cryptography.fernet import Fernet, InvalidToken
from httpx2 import AsyncClient
from pydantic import SecretStr
from sqlalchemy import func, select, update
from tests.accounts.provider import consent, install, running

from app.settings import Settings
from tests.accounts.conftest import unused_port
from tests.factories import add_user, new_email, signed_in

pytestmark = pytest.mark.slow

CALLBACK = "https://test/api/auth/callback/acme"
LIES = [
    "iss_response",
    "state_twice",
    "other_state",
    "denied",
    "wrong_nonce",
    "no_nonce",
    "wrong_issuer",
    "wrong_audience",
    "more_audiences",
    "wrong_azp",
    "expired",
    "no_expiry",
    "not_yet",
    "issued_later",
    "no_subject",
    "empty_subject",
    "number_subject",
    "long_subject",
    "wrong_at_hash",
    "alg_none",
    "bad_signature",
    "foreign_key",
    "unknown_key",
    "key_inside",
    "key_elsewhere",
    "shared_secret",
    "no_id_token",
    "no_access_token",
    "token_type",
    "token_error",
    "token_500",
    "iss_missing",
    "later_sign_in",
    "text_sign_in",
]


@pytest.fixture(scope="session")
def folder(pytestconfig: pytest.Config) -> Path:
    """Where the providers are installed; kept between runs."""
    return install(pytestconfig.cache.mkdir("providers"))


@pytest.fixture(scope="session")
def certified(folder: Path) -> Iterator[str]:
    with running(folder, "certified.js", unused_port(), CALLBACK) as issuer:
        yield issuer


@pytest.fixture(scope="session")
def tampering(folder: Path) -> Iterator[str]:
    with running(folder, "tampering.js", unused_port()) as issuer:
        yield issuer


def configure(app, monkeypatch, **providers: str | Provider) -> None:
    """Settings with these providers: name and issuer."""
    known = {
        name: one
        if isinstance(one, Provider)
        else Provider(client_id="app", client_secret="secret", issuer=one)  # type: ignore[arg-type]
        for name, one in providers.items()
    }
    settings = app.state.settings.model_copy(update={"providers": known})
    monkeypatch.setitem(app.state._state, "settings", settings)
    monkeypatch.setitem(app.state._state, "providers", Providers(settings))


@pytest.fixture
def acme(app, certified: str, monkeypatch) -> str:
    configure(app, monkeypatch, acme=certified, twin=certified)
    return certified


@pytest.fixture
async def liar(app, tampering: str, monkeypatch):
    """`await liar("expired")`: from now on it lies like this."""
    configure(app, monkeypatch, acme=tampering)

    async def tell(name: str) -> None:
        async with httpx2.AsyncClient() as client:
            await client.post(f"{tampering}/lie", json={"name": name})

    await tell("none")
    return tell


async def depart(client: AsyncClient, path: str = "/welcome") -> str:
    answer = await client.get("/api/auth/login/acme", params={"next": path})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def sign_in(client: AsyncClient, login: str):
    return await client.get(await consent(await depart(client), login))


async def lied_to(client: AsyncClient):
    """A sign-in at the provider that lies."""
    async with httpx2.AsyncClient() as browser:
        back = (await browser.get(await depart(client))).headers["location"]
    return await client.get(back)


async def counts(db) -> list[int]:
    tables = (User, Session, LinkedIdentity, Flow)
    return [await db.scalar(select(func.count()).select_from(table)) for table in tables]


async def test_somebody_new_gets_an_account(client, db, acme, events, mailbox):
    answer = await sign_in(client, "ada")
    assert (answer.status_code, answer.headers["location"]) == (303, "/welcome")
    user = (await client.get("/api/session")).json()["user"]
    assert (user["email"], user["name"]) == ("ada@example.com", "Name of ada")
    assert await events() == ["user.created", "identity.linked", "session.started"]
    assert (await mailbox.one())["subject"] == "A new way to sign in"
    first = user["id"]
    await sign_in(client, "ada")
    assert (await client.get("/api/session")).json()["user"]["id"] == first
    (identity,) = (await client.get("/api/identities")).json()["items"]
    assert (identity["provider"], identity["email"]) == ("acme", "ada@example.com")


async def test_the_address_may_come_from_userinfo(client, app, folder, monkeypatch):
    with running(folder, "certified.js", unused_port(), CALLBACK, "userinfo") as issuer:
        configure(app, monkeypatch, acme=issuer)
        assert (await sign_in(client, "bea")).status_code == 303
        assert (await client.get("/api/session")).json()["user"]["email"] == "bea@example.com"


async def test_the_honest_provider_gets_people_in(client, liar):
    assert (await lied_to(client)).status_code == 303


@pytest.mark.parametrize("lie", LIES)
async def test_OIDC_7_every_lie_is_refused(client, db, liar, lie, events):
    await liar(lie)
    before = await counts(db)
    answer = await lied_to(client)
    assert 400 <= answer.status_code < 500 or answer.status_code == 502, lie
    assert answer.headers["content-type"] == "application/problem+json"
    assert "<script>" not in answer.text and "set-cookie" not in answer.headers
    if lie not in ("other_state", "state_twice"):  # those never found their flow
        assert await counts(db) == before
    assert [kind for kind in await events() if kind.startswith("identity.")]


@pytest.mark.parametrize("lie", ["text_verified", "list_email"])
async def test_OIDC_7_claims_are_strictly_typed(client, db, liar, lie):
    await liar(lie)
    answer = await lied_to(client)
    assert answer.status_code == 403
    assert (await counts(db))[:3] == [0, 0, 0]


@pytest.mark.parametrize(
    ("lie", "status"),
    [
        ("metadata_issuer", 400),
        ("metadata_endpoint", 400),
        ("metadata_scheme", 400),
        ("html", 400),
        ("list", 400),
        ("redirect", 502),
        ("error", 502),
        ("huge", 502),
        ("bomb", 502),
    ],
)
async def test_OIDC_9_a_broken_provider_is_a_clean_error(client, db, liar, lie, status):
    await liar(lie)
    started = time.perf_counter()
    answer = await client.get("/api/auth/login/acme")
    assert (answer.status_code, time.perf_counter() - started < 10) == (status, True)
    assert await counts(db) == [0, 0, 0, 0]


async def test_OIDC_9_a_silent_provider_ends_in_time(client, liar, monkeypatch):
    from app.core.identity import transport

    monkeypatch.setattr(transport, "SECONDS", 0.5)
    await liar("slow")
    assert (await client.get("/api/auth/login/acme")).status_code == 502


async def test_OIDC_9_a_dead_provider_is_502(client, app, monkeypatch):
    configure(app, monkeypatch, acme=f"http://127.0.0.1:{unused_port()}")
    assert (await client.get("/api/auth/login/acme")).status_code == 502


@pytest.mark.parametrize("lie", ["metadata_options", "metadata_algorithms"])
async def test_OIDC_6_metadata_changes_no_rule_of_ours(client, liar, lie):
    await liar(lie)
    query = parse_qs(urlsplit(await depart(client)).query)
    assert query["code_challenge_method"] == ["S256"]
    assert query["scope"] == ["openid email profile"]
    assert (await lied_to(client)).status_code == 303


async def test_OIDC_6_OIDC_12_what_is_sent_to_the_provider(client, acme):
    evil = {"host": "evil.test", "x-forwarded-host": "evil.test"}
    answer = await client.get("/api/auth/login/acme", headers=evil)
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["redirect_uri"] == [CALLBACK]
    assert query["code_challenge_method"] == ["S256"]
    # Of letters and digits at least, so nearly six bits each.
    assert min(len(query[name][0]) for name in ("state", "nonce")) >= 22
    assert len(query["code_challenge"][0]) == 43


@pytest.mark.parametrize("change", ["missing", "wrong", "empty", "twice"])
async def test_OIDC_1_a_bad_state_sends_no_code_anywhere(client, db, acme, change, app, monkeypatch):
    back = urlsplit(await consent(await depart(client), "ada"))
    params = [(k, v) for k, values in parse_qs(back.query).items() for v in values if k != "state"]
    state = parse_qs(back.query)["state"][0]
    params += {"missing": [], "wrong": [("state", "x" * 30)], "empty": [("state", "")]}.get(
        change, [("state", state)] * 2
    )
    asked = []
    monkeypatch.setattr(Providers, "identify", lambda *_: asked.append(1))
    answer = await client.get(back.path, params=params)
    assert (answer.status_code, asked) == (400, [])


async def test_OIDC_2_another_browser_cannot_finish(client, other, db, acme):
    back = await consent(await depart(client), "ada")
    assert (await other.get(back)).status_code == 400
    await other.get("/api/auth/login/acme")
    assert (await other.get(back)).status_code == 400
    assert (await counts(db))[:3] == [0, 0, 0]


async def test_OIDC_3_an_answer_is_taken_once(client, db, acme):
    back = await consent(await depart(client), "ada")
    assert (await client.get(back)).status_code == 303
    assert (await client.get(back)).status_code == 400
    assert (await client.get("/api/session")).status_code == 200


async def test_OIDC_4_an_answer_belongs_to_one_provider(client, db, acme):
    back = await consent(await depart(client), "ada")
    assert (await client.get(back.replace("/callback/acme", "/callback/twin"))).status_code == 400
    assert (await client.get(back)).status_code == 400
    assert await counts(db) == [0, 0, 0, 0]


async def test_OIDC_5_anothers_code_is_refused(client, other, acme):
    hers, his = await depart(client), await depart(other)
    code = parse_qs(urlsplit(await consent(his, "mallory")).query)["code"][0]
    state = parse_qs(urlsplit(hers).query)["state"][0]
    issuer = {"iss": acme}
    answer = await client.get(CALLBACK, params={"code": code, "state": state} | issuer)
    assert answer.status_code == 400


async def test_OIDC_8_rotated_keys_are_fetched_once(client, acme, app):
    assert (await sign_in(client, "ada")).status_code == 303
    async with httpx2.AsyncClient() as operator:
        await operator.get(f"{acme}/rotate")
    assert (await sign_in(client, "ada")).status_code == 303


async def test_OIDC_8_a_key_without_a_name_rotates_too(client, liar):
    for key in ("first_key", "second_key"):
        await liar(key)
        assert (await lied_to(client)).status_code == 303


async def test_OIDC_8_keys_are_not_kept_for_ever(client, liar, tampering, app, monkeypatch):
    async with httpx2.AsyncClient() as asking:
        assert (await lied_to(client)).status_code == 303
        monkeypatch.setattr(strict, "METADATA_SECONDS", -1)
        assert (await lied_to(client)).status_code == 303
        assert int((await asking.get(f"{tampering}/fetched")).text) >= 2


async def test_ACCT_10_a_sign_in_elsewhere_is_as_old_as_the_provider_says(client, liar):
    """A provider that lets people in without asking makes no fresh sign-in."""
    await liar("old_sign_in")
    assert (await lied_to(client)).status_code == 303
    said = datetime.fromisoformat((await client.get("/api/session")).json()["signed_in_at"])
    assert timedelta(minutes=59) < datetime.now(UTC) - said < timedelta(minutes=62)
    assert (await client.delete("/api/me")).status_code == 403


async def test_ACCT_10_who_signs_in_again_is_asked_again(client, acme):
    """The certified provider says when; our question for `max_age` makes it say so."""
    assert parse_qs(urlsplit(await depart(client)).query)["max_age"] == ["604800"]
    assert (await sign_in(client, "ada")).status_code == 303
    assert (await client.delete("/api/me")).status_code == 202
    assert parse_qs(urlsplit(await depart(client)).query)["max_age"] == ["0"]
    assert (await sign_in(client, "ada")).status_code == 303


async def test_OIDC_8_unknown_keys_cause_few_fetches(client, liar, tampering):
    await liar("unknown_key")
    for _ in range(8):
        await lied_to(client)
    async with httpx2.AsyncClient() as asking:
        assert int((await asking.get(f"{tampering}/fetched")).text) <= 4


async def test_OIDC_10_a_denied_sign_in_is_over(client, db, acme):
    url = await depart(client)
    state = parse_qs(urlsplit(url).query)["state"][0]
    real = await consent(url, "ada")
    evil = {"error": "access_denied", "error_description": "<script>alert(1)</script>", "state": state}
    denied = await client.get(CALLBACK, params=evil)
    assert denied.status_code == 400 and "script" not in denied.text
    assert (await client.get(real)).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "evil",
        "javascript:alert(1)",
        "/a\r\nset-cookie: x=y",
        "http:/evil.example",
        "/%00\x00",
        " /x",
        "///evil.example",
    ],
)
async def test_OIDC_11_only_own_paths_are_gone_to(client, acme, path):
    assert (await client.get("/api/auth/login/acme", params={"next": path})).status_code == 422


async def test_OIDC_11_own_paths_survive(client, acme):
    back = await consent(await depart(client, "/projects/7?tab=a%20b#top"), "ada")
    assert (await client.get(back)).headers["location"] == "/projects/7?tab=a%20b#top"


async def test_OIDC_17_provider_tokens_are_encrypted_and_keys_rotate(client, db, certified, app, monkeypatch):
    keeping = Provider(client_id="app", client_secret="secret", issuer=certified, keep_tokens=True)  # type: ignore[arg-type]
    configure(app, monkeypatch, acme=keeping)
    assert (await sign_in(client, "ada")).status_code == 303
    row = await db.scalar(select(LinkedIdentity))
    assert row and row.tokens and b"access_token" not in row.tokens
    assert b"access_token" in cipher(app.state.settings).decrypt(row.tokens)
    assert "token" not in (await client.get("/api/identities")).text
    before = stored_tokens.unseal(app.state.settings, row)
    assert (await sign_in(client, "ada")).status_code == 303
    await db.refresh(row)
    after = stored_tokens.unseal(app.state.settings, row)
    assert after["access_token"] != before["access_token"], "the newer one is kept"


async def test_OIDC_18_a_garbled_flow_cookie_is_a_clean_refusal(client, acme):
    back = await consent(await depart(client), "ada")
    for value in ("", "x", "A" * 43, "A" * 8000):
        assert (await client.get(back, headers={"cookie": f"{cookies.FLOW}={value}"})).status_code == 400


async def test_two_tabs_work(client, acme):
    first, second = await depart(client, "/one"), await depart(client, "/two")
    assert (await client.get(await consent(first, "ada"))).headers["location"] == "/one"
    assert (await client.get(await consent(second, "ada"))).headers["location"] == "/two"


async def test_open_sign_ins_are_few_and_short(client, db, acme):
    url = ""
    for _ in range(flows.MOST + 2):
        url = await depart(client)
    assert (await counts(db))[3] == flows.MOST
    await db.execute(update(Flow).values(created_at=func.now() - sessions.FRESH * 2))
    await db.commit()
    assert (await client.get(await consent(url, "ada"))).status_code == 400


async def test_one_network_starts_so_many_sign_ins_and_no_more(client, acme):
    statuses = [(await client.get("/api/auth/login/acme")).status_code for _ in range(limits.START.most + 1)]
    assert statuses == [303] * limits.START.most + [429]


async def test_an_unknown_provider_is_404(client, acme):
    assert (await client.get("/api/auth/login/nobody")).status_code == 404
    assert (await client.get("/api/auth/callback/nobody?code=1&state=2")).status_code in (400, 404)
    names = [item["name"] for item in (await client.get("/api/auth/providers")).json()["items"]]
    assert names == ["acme", "twin"]


async def test_LINK_1_an_address_alone_links_nothing(client, db, acme):
    await add_user(db, email="ada@example.com")
    answer = await sign_in(client, "ada")
    assert (answer.status_code, answer.headers.get("set-cookie")) == (409, None)
    assert (await counts(db))[1:3] == [0, 0]


async def link(client: AsyncClient, login: str):
    answer = await client.post("/api/identities", json={"provider": "acme", "next": "/settings"})
    return await client.get(await consent(answer.json()["location"], login))


async def test_LINK_1_who_is_signed_in_links_and_is_told(member, user, acme, mailbox, events):
    answer = await link(member, "grace")
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings")
    assert (await mailbox.one())["to"] == user.email
    (identity,) = (await member.get("/api/identities")).json()["items"]
    member.cookies.delete(cookies.SESSION)
    assert (await sign_in(member, "grace")).status_code == 303
    assert (await member.get("/api/me")).json()["id"] == user.id
    assert "identity.linked" in await events() and identity["provider"] == "acme"


async def test_LINK_2_linking_from_elsewhere_is_403(member, acme):
    body = {"provider": "acme"}
    answer = await member.post("/api/identities", json=body, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403


async def test_LINK_2_a_link_ends_in_the_session_where_it_began(member, other, db, acme):
    location = (await member.post("/api/identities", json={"provider": "acme"})).json()["location"]
    back = await consent(location, "mallory")
    flow = member.cookies[cookies.FLOW]
    other.cookies = await signed_in(db, await add_user(db))
    other.cookies.set(cookies.FLOW, flow)
    assert (await other.get(back)).status_code == 400
    assert (await counts(db))[2] == 0


async def test_LINK_3_anothers_identity_is_409(member, other, db, acme):
    await sign_in(other, "ada")
    assert (await link(member, "ada")).status_code == 409
    assert (await counts(db))[2] == 1


async def test_LINK_4_the_last_way_in_stays(client, other, db, acme):
    await sign_in(client, "ada")
    (identity,) = (await client.get("/api/identities")).json()["items"]
    path = f"/api/identities/{identity['id']}"
    other.cookies = await signed_in(db, await add_user(db))
    assert (await other.delete(path)).status_code == 404
    assert (await client.delete(path)).status_code == 409
    await link(client, "ada-at-work")
    assert (await client.delete(path)).status_code == 204
    assert len((await client.get("/api/identities")).json()["items"]) == 1


@pytest.mark.parametrize("before", [{"subject": "mallory-before"}, {"issuer": "https://x.example"}], ids=str)
async def test_LINK_5_a_recycled_address_is_not_the_old_account(client, db, liar, before):
    """Same address, another subject; or the same subject of another issuer."""
    await lied_to(client)
    await db.execute(update(LinkedIdentity).values(before))
    await db.commit()
    client.cookies.delete(cookies.SESSION)
    answer = await lied_to(client)
    assert (answer.status_code, (await counts(db))[2]) == (409, 1)


async def test_unverified_addresses_make_no_account(client, db, acme):
    answer = await sign_in(client, "un-verified")
    assert (answer.status_code, (await counts(db))[:3]) == (403, [0, 0, 0])
    assert digest("x") != digest("y")


KEYS = [Fernet.generate_key().decode() for _ in range(2)]


def keyed(settings: Settings, *keys: str) -> Settings:
    return settings.model_copy(update={"encryption_keys": SecretStr(",".join(keys))})


async def test_OPS_4_OIDC_17_encryption_keys_rotate(db, user, settings):
    before, during, after = (
        keyed(settings, KEYS[0]),
        keyed(settings, KEYS[1], KEYS[0]),
        keyed(settings, KEYS[1]),
    )
    values = stored_tokens.seal(before, {"access_token": "abc"})
    identity = LinkedIdentity(
        user_id=user.id, provider="x", issuer="https://x.example", subject="1", **values
    )
    db.add(identity)
    await db.flush()
    assert stored_tokens.unseal(during, identity) == {"access_token": "abc"}
    assert [await stored_tokens.rotate(db, during) for _ in range(2)] == [1, 0]
    assert stored_tokens.unseal(after, identity) == {"access_token": "abc"}


async def test_ACCT_7_what_was_linked_since_is_gone_when_an_account_is_taken_back(
    member, user, client, db, mailbox
):
    for number in (1, 2):
        await member.put("/api/me/email", json={"email": new_email()})
        await member.post("/api/me/email/confirmation", json={"token": await mailbox.token()})
        back, subject = await mailbox.token(), str(number)
        linked = {"provider": "x", "issuer": "https://x.example", "linked_at": datetime.now(UTC)}
        db.add(LinkedIdentity(user_id=user.id, subject=subject, **linked))
        await db.commit()
    assert (await client.post("/api/me/email/reversal", json={"token": back})).status_code == 204
    mine = select(LinkedIdentity.subject).where(LinkedIdentity.user_id == user.id)
    assert (await db.scalars(mine)).all() == ["1"]


async def test_SES_7_an_erased_account_has_no_identity(user, db):
    db.add(LinkedIdentity(user_id=user.id, provider="x", issuer="https://x.example", subject="1"))
    user.delete_at = datetime.now(UTC) - timedelta(seconds=1)
    await db.commit()
    assert await users.erase_due(db) == 1
    assert not await db.scalar(select(LinkedIdentity).where(LinkedIdentity.user_id == user.id))


async def test_OPS_4_the_command_encrypts_again(settings, new_database):
    """As a process, on tokens that are committed; without the old key it says so and changes nothing."""
    url = await asyncio.to_thread(new_database, "rotation")
    engine = create_engine(url, pool_size=1)
    values = stored_tokens.seal(keyed(settings, KEYS[0]), {"access_token": "abc"})
    async with create_sessions(engine)() as db:
        user = await add_user(db)
        identity = LinkedIdentity(user_id=user.id, provider="x", issuer="x", subject="1", **values)
        db.add(identity)
        await db.commit()

        def run(*keys: str) -> tuple[int, str]:
            environment = {"ENVIRONMENT": "test", "DATABASE_URL": url, "ENCRYPTION_KEYS": ",".join(keys)}
            done = subprocess.run(
                [sys.executable, "-m", "app.rotate_keys"],
                env=os.environ | environment,
                capture_output=True,
                text=True,
                check=False,
            )
            return done.returncode, done.stdout + done.stderr

        code, said = await asyncio.to_thread(run, KEYS[1])
        assert (code, "Put it back" in said, "Traceback" in said) == (1, True, False)
        for count in (1, 0):
            assert await asyncio.to_thread(run, KEYS[1], KEYS[0]) == (0, f"encrypted again: {count}\n")
        await db.refresh(identity)
        assert stored_tokens.unseal(keyed(settings, KEYS[1]), identity) == {"access_token": "abc"}
    await engine.dispose()


def test_OIDC_17_what_was_tampered_with_is_not_decrypted(settings):
    """Each byte of it: version, time, vector, ciphertext, authentication."""
    mine = keyed(settings, KEYS[0])
    sealed = stored_tokens.seal(mine, {"access_token": "abc"})["tokens"]
    assert isinstance(sealed, bytes)
    whole = urlsafe_b64decode(sealed)
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1
        with pytest.raises(InvalidToken):
            stored_tokens.unseal(mine, LinkedIdentity(tokens=urlsafe_b64encode(changed)))
