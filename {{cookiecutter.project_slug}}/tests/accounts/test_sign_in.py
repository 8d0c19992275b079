"""LOGIN: passwords, guessing, limits."""

import asyncio
import hashlib
import time
from datetime import timedelta

import pytest
from httpx2 import AsyncClient
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import cookies, passwords
from app.core.devices import Device
from app.core.throttle import Limit, Throttle
from app.models.events import Event
from app.models.identities import LinkedIdentity
from app.models.passwords import Password
from app.models.sessions import Session
from app.models.users import User
from app.services import limits
from tests.accounts.test_sessions import put, status
from tests.factories import add_user, new_address, new_email
from tests.passwords import PASSWORD, with_password


async def sign_in(client: AsyncClient, email: str, password: str = PASSWORD, **fields):
    return await client.post("/api/session", json={"email": email, "password": password} | fields)


def come_from(client: AsyncClient, address: str) -> None:
    client._transport.client = (address, 1)  # type: ignore[attr-defined]


async def everybody(db: AsyncSession) -> dict[str, tuple[str, str]]:
    """Who cannot sign in, and what they send."""
    known = await with_password(db)
    disabled = await with_password(db, disabled_at=func.now())
    elsewhere = await add_user(db)
    db.add(LinkedIdentity(user_id=elsewhere.id, provider="google", issuer="https://x.example", subject="1"))
    await db.commit()
    return {
        "unknown": (new_email(), PASSWORD),
        "wrong": (known.email, "not the password at all"),
        "disabled": (disabled.email, PASSWORD),
        "sso-only": (elsewhere.email, PASSWORD),
    }


async def test_LOGIN_1_refusals_are_all_alike(client, db):
    answers = [await sign_in(client, *who) for who in (await everybody(db)).values()]
    bodies = {tuple(sorted((k, v) for k, v in a.json().items() if k != "request_id")) for a in answers}
    assert {answer.status_code for answer in answers} == {401}
    assert len(bodies) == 1
    names = {frozenset(answer.headers) for answer in answers}
    assert len(names) == 1 and "set-cookie" not in next(iter(names))


async def test_LOGIN_1_each_refusal_is_one_event(client, db, events):
    for number, who in enumerate((await everybody(db)).values(), 1):
        await sign_in(client, *who)
        assert (await events()).count("session.refused") == number


async def test_LOGIN_2_every_refusal_verifies_one_hash(client, db, monkeypatch):
    """The times are measured by benchmarks/accounts; here, that the work is the same."""
    verified = []
    real = passwords._verify

    def counting(password, stored):
        verified.append(stored is not None)
        return real(password, stored)

    monkeypatch.setattr(passwords, "_verify", counting)
    for who in (await everybody(db)).values():
        await sign_in(client, *who)
    assert len(verified) == 4
    dummy, current = passwords._dummy(), await passwords.hash_password("x")
    assert dummy.split("$")[:4] == current.split("$")[:4]


async def test_LOGIN_3_one_account_is_guessed_from_many_addresses(client, db):
    user = await with_password(db)
    statuses = []
    for _ in range(limits.ACCOUNT.most + 3):
        come_from(client, new_address())
        statuses.append((await sign_in(client, user.email, "wrong wrong wrong")).status_code)
    assert statuses == [401] * limits.ACCOUNT.most + [429] * 3
    assert (await sign_in(client, user.email)).status_code == 429
    assert limits.ACCOUNT_LONG.most <= 100
    assert limits.ACCOUNT_LONG.seconds >= 30 * limits.DAY


async def test_LOGIN_3_nobody_locks_the_owner_out(client, other, db):
    """On a device that the owner used before, the right password works while the account is under attack."""
    user = await with_password(db)
    assert (await sign_in(client, user.email)).status_code == 204
    await client.delete("/api/session")
    refused = None
    for _ in range(limits.ACCOUNT.most + 1):
        come_from(other, new_address())
        refused = await sign_in(other, user.email, "wrong wrong wrong")
    assert refused and refused.status_code == 429
    come_from(client, new_address())
    assert (await sign_in(client, user.email)).status_code == 204


async def use_up(app, limit: Limit, key: str) -> None:
    """As many tries as weeks of guessing make."""
    for _ in range(limit.most):
        assert await app.state.throttle.allows(limit, key)


async def test_LOGIN_3_a_hundred_failures_in_a_row_and_no_more(client, other, app, db):
    user = await with_password(db)
    await sign_in(other, user.email)
    await other.delete("/api/session")
    await use_up(app, limits.ACCOUNT_LONG, user.email)
    assert (await sign_in(client, user.email)).status_code == 429
    assert (await sign_in(other, user.email)).status_code == 204  # the owner's device; and it unlocks
    assert (await sign_in(client, user.email)).status_code == 204


async def test_LOGIN_3_a_known_device_guesses_a_few_times(client, app, db):
    user = await with_password(db)
    await sign_in(client, user.email)
    wrong = [(await sign_in(client, user.email, "wrong wrong wrong")).status_code for _ in range(11)]
    assert wrong == [401] * limits.DEVICE.most + [429]
    device = Device(client.cookies[cookies.DEVICE], app.state.settings).key
    for limit in (limits.DEVICE, limits.DEVICE_LONG):
        await app.state.throttle.clear(limit, f"{device}:{user.email}")
    await use_up(app, limits.DEVICE_LONG, f"{device}:{user.email}")
    assert (await sign_in(client, user.email)).status_code == 429
    assert limits.DEVICE_LONG.most <= 100 and limits.DEVICE_LONG.seconds >= 30 * limits.DAY


@pytest.mark.parametrize("act", ["password", "sessions"])
async def test_LOGIN_3_a_device_is_forgotten_with_its_sessions(client, other, db, mailbox, app, act):
    """Whoever had it loses its place; the browser in which the password was changed stays known."""
    user = await with_password(db)
    for browser in (client, other):
        await sign_in(browser, user.email)
    known = app.state.settings
    if act == "password":
        form = {"current": PASSWORD, "new": "lamp orbit cactus velvet"}
        assert (await client.put("/api/me/password", json=form)).status_code == 204
    else:
        assert (await client.delete("/api/sessions")).status_code == 204
    await db.refresh(user)
    knows = [
        Device(b.cookies[cookies.DEVICE], known).knows(user.id, user.device_epoch) for b in (client, other)
    ]
    assert knows == [act == "password", False]


async def test_LOGIN_3_a_reset_by_mail_unlocks(client, db, mailbox):
    user = await with_password(db)
    refused = None
    for _ in range(limits.ACCOUNT.most + 1):
        come_from(client, new_address())
        refused = await sign_in(client, user.email, "wrong wrong wrong")
    assert refused and refused.status_code == 429
    await client.post("/api/password-reset", json={"email": user.email})
    form = {"token": await mailbox.token(), "password": "lamp orbit cactus velvet"}
    assert (await client.post("/api/password-reset/confirmation", json=form)).status_code == 204
    assert (await sign_in(client, user.email, "lamp orbit cactus velvet")).status_code == 204


async def test_LOGIN_3_a_forged_device_helps_nobody(client, db):
    user = await with_password(db)
    statuses = []
    for number in range(limits.ACCOUNT.most + 1):
        come_from(client, new_address())
        client.cookies.set(cookies.DEVICE, f'["{number}",[{user.id}]].forged')
        statuses.append((await sign_in(client, user.email, "wrong wrong wrong")).status_code)
    assert statuses[-1] == 429


@pytest.mark.slow
@pytest.mark.parametrize("network", ["198.51.100.7", "2001:db8:0:7::"])
async def test_LOGIN_4_spraying_from_one_network_is_429(client, network, events):
    if network.endswith("::"):
        network = f"2001:db8:{new_address().split('.')[1]}:{new_address().split('.')[2]}::"
    statuses, answer = [], None
    for number in range(limits.CLIENT.most + 1):
        come_from(client, f"{network}{number:x}" if ":" in network else network)
        answer = await sign_in(client, new_email(), "wrong wrong wrong")
        statuses.append(answer.status_code)
    assert statuses[-1] == 429
    assert set(statuses[:-1]) <= {401, 429}
    assert answer and int(answer.headers["retry-after"]) >= 1
    assert (await events())[-1] == "session.throttled"


async def test_LOGIN_5_an_own_success_clears_no_others_count(client, other, db):
    mallory, alice = await with_password(db), await with_password(db)
    statuses = []
    for _ in range(limits.CLIENT_ACCOUNT.most + 1):
        statuses.append((await sign_in(client, alice.email, "wrong wrong wrong")).status_code)
        assert (await sign_in(other, mallory.email)).status_code == 204
    assert statuses == [401] * limits.CLIENT_ACCOUNT.most + [429]


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", ""])
async def test_LOGIN_6_AVAIL_8_without_the_server_limits_hold_in_the_process(
    client, app, db, monkeypatch, url
):
    throttle = Throttle(url)
    monkeypatch.setitem(app.state._state, "throttle", throttle)
    user = await with_password(db)
    statuses = [
        (await sign_in(client, user.email, "wrong wrong wrong")).status_code
        for _ in range(limits.CLIENT_ACCOUNT.most + 2)
    ]
    assert statuses == [401] * limits.CLIENT_ACCOUNT.most + [429] * 2
    await throttle.close()


async def test_LOGIN_6_a_silent_server_costs_a_moment_once(free_port):
    async def swallow(reader, writer):
        await reader.read()
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    hung_up = asyncio.Event()
    server = await asyncio.start_server(swallow, "127.0.0.1", free_port)
    throttle = Throttle(f"redis://127.0.0.1:{free_port}/0")
    started = time.perf_counter()
    assert [await throttle.allows(Limit("x", 2, 60), "k") for _ in range(3)] == [True, True, False]
    assert time.perf_counter() - started < 3
    await throttle.close()
    await asyncio.wait_for(hung_up.wait(), 5)
    server.close()
    await server.wait_closed()


async def test_LOGIN_7_a_flood_of_hashes_is_bounded(client):
    """More than the pool and its queue are told to come back; nothing else waits."""
    count = passwords.AT_ONCE + passwords.WAITING + 10
    flood = [asyncio.create_task(passwords.verify("x" * 256, None)) for _ in range(count)]
    await asyncio.sleep(0)
    started = time.perf_counter()
    assert (await client.get("/api/health")).status_code == 200
    assert time.perf_counter() - started < 2
    results = await asyncio.gather(*flood, return_exceptions=True)
    refused = [result for result in results if isinstance(result, Exception)]
    assert len(refused) == 10
    assert {getattr(error, "status", None) for error in refused} == {503}


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("a@example.com", ["x"]),
        ("a@example.com", {"$ne": None}),
        ("a@example.com", True),
        ("a@example.com", 12345),
        ("a@example.com", None),
        (["a@example.com", "b@example.com"], PASSWORD),
        ({"a": 1}, PASSWORD),
    ],
    ids=str,
)
async def test_LOGIN_8_OPS_3_other_types_are_422_and_not_echoed(client, email, password):
    answer = await client.post("/api/session", json={"email": email, "password": password})
    assert answer.status_code == 422
    assert set(answer.json()["errors"][0]) == {"location", "field", "message", "type"}
    assert "12345" not in answer.text and PASSWORD not in answer.text


async def test_LOGIN_9_a_field_sent_twice_is_refused(client, db, mailbox):
    body = "email=a%40example.com&email=b%40example.com&password=x"
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert (await client.post("/api/session", content=body, headers=kind)).status_code in (415, 422)
    twice = "token=a&token=b&password=x"
    answer = await client.post("/api/password-reset/confirmation", content=twice, headers=kind)
    assert answer.status_code == 400


async def test_LOGIN_10_an_old_hash_is_renewed_by_the_right_password_only(client, db):
    user = await add_user(db)
    old = Argon2Hasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    db.add(Password(user_id=user.id, hash=old))
    await db.commit()

    async def stored() -> str:
        return await db.scalar(select(Password.hash).where(Password.user_id == user.id)) or ""

    assert (await sign_in(client, user.email, "wrong wrong wrong")).status_code == 401
    assert await stored() == old
    assert (await sign_in(client, user.email)).status_code == 204
    assert "m=47104,t=1,p=1" in await stored()
    assert (await sign_in(client, user.email)).status_code == 204


async def test_LOGIN_10_a_password_has_no_age(client, db):
    user = await with_password(db)
    await db.execute(update(Password).values(changed_at=func.now() - timedelta(days=3650)))
    await db.commit()
    assert (await sign_in(client, user.email)).status_code == 204


async def test_LOGIN_11_a_new_device_is_told_once(client, other, db, mailbox):
    user = await with_password(db)
    await sign_in(client, user.email)
    assert await mailbox() == []
    await client.delete("/api/session")
    await sign_in(client, user.email)
    assert await mailbox() == []
    other.headers["user-agent"] = "Lynx <b>2</b>"
    await sign_in(other, user.email)
    message = await mailbox.one()
    assert (message["to"], message["subject"]) == (user.email, "New sign-in to your account")
    for part in message.iter_parts():
        assert not any(value in part.get_content() for value in other.cookies.values())
    page = message.get_body(("html",))
    assert page and "<b>2</b>" not in page.get_content()


async def test_passwords_and_tokens_are_in_no_log_line(client, db, mailbox, caplog):
    user = await with_password(db)
    await sign_in(client, user.email)
    await client.post("/api/password-reset", json={"email": user.email})
    token = await mailbox.token()
    await client.get(f"/api/password-reset/confirmation?token={token}")
    ours = " ".join(record.getMessage() for record in caplog.records if record.name.startswith("app"))
    for secret in (PASSWORD, token, user.email, *client.cookies.values()):
        assert secret not in ours


async def test_the_trail_holds_no_secrets(client, db, mailbox):
    user = await with_password(db)
    await sign_in(client, user.email, "wrong wrong wrong")
    await sign_in(client, user.email)
    rows = (await db.scalars(select(Event))).all()
    told = " ".join(str(vars(row)) for row in rows)
    for secret in ("wrong wrong wrong", PASSWORD, user.email, *client.cookies.values()):
        assert secret not in told


async def test_a_user_who_forgot_to_be_remembered(client, db, user: User):
    """Without `remember` the cookie ends with the browser; with it, after 90 days."""
    ada = await with_password(db)
    short = (await sign_in(client, ada.email)).headers.get_list("set-cookie")
    long = (await sign_in(client, ada.email, remember=True)).headers.get_list("set-cookie")
    assert "Max-Age" not in next(cookie for cookie in short if cookie.startswith(cookies.SESSION))
    assert "Max-Age=7776000" in next(cookie for cookie in long if cookie.startswith(cookies.SESSION))


async def test_TENANT_9_OPS_1_log_injection_is_one_inert_row(client, db):
    user = await with_password(db)
    agent = "evil\x1b[31m " + "x" * 5000
    body = {"email": user.email, "password": PASSWORD}
    await client.post("/api/session", json=body, headers={"user-agent": agent})
    (row,) = (await db.scalars(select(Event).where(Event.kind == "session.started"))).all()
    assert "\x1b" not in row.user_agent and len(row.user_agent) <= 200


async def test_SES_1_a_chosen_session_never_becomes_valid(client, db):
    user = await with_password(db)
    chosen = "A" * 43
    client.cookies.set(cookies.SESSION, chosen)
    assert (await sign_in(client, user.email)).status_code == 204
    put(client, chosen)
    assert await status(client) == 401


async def test_SES_2_signing_in_again_rotates_the_session(client, db):
    user = await with_password(db)
    await sign_in(client, user.email)
    first = client.cookies[cookies.SESSION]
    await sign_in(client, user.email)
    second = client.cookies[cookies.SESSION]
    assert first != second
    put(client, first)
    assert await status(client) == 401
    put(client, second)
    assert await status(client) == 200


async def test_SES_2_a_changed_password_rotates_the_session(client, other, db):
    user = await with_password(db)
    await sign_in(client, user.email)
    await sign_in(other, user.email)
    first = client.cookies[cookies.SESSION]
    form = {"current": PASSWORD, "new": "lamp orbit cactus velvet"}
    assert (await client.put("/api/me/password", json=form)).status_code == 204
    assert await status(client) == 200
    assert await status(other) == 401
    put(client, first)
    assert await status(client) == 401


async def test_SES_3_the_cookie(client, db):
    user = await with_password(db)
    answer = await sign_in(client, user.email)
    for sent in answer.headers.get_list("set-cookie"):
        name, _, rest = sent.partition("=")
        value, *attributes = rest.split("; ")
        assert name.startswith("__Host-")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= set(attributes)
        assert "Domain" not in sent and len(sent) < 4096
        if name == cookies.SESSION:
            assert len(value) == 43
            stored = await db.scalar(select(Session.token_hash).where(Session.user_id == user.id))
            assert stored == hashlib.sha256(value.encode()).digest()
