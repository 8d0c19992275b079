"""LOGIN: passwords, guessing, limits."""

import hashlib
from datetime import timedelta

import pytest
from httpx2 import AsyncClient
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import browser as cookies
from app.accounts import rate_limits
from app.accounts.browser import Device
from app.accounts.models import Event, LinkedIdentity, Password, Session, User
from tests.accounts.conftest import logged_by_the_application
from tests.accounts.test_sessions import put, status
from tests.factories import PASSWORD, add_user, new_email, new_ip, use_up


async def post_session(client: AsyncClient, email: str, password: str = PASSWORD, **fields):
    return await client.post("/api/session", json={"email": email, "password": password} | fields)


async def everybody(db: AsyncSession) -> dict[str, tuple[str, str]]:
    """Who cannot sign in, and what they send."""
    known = await add_user(db, password=PASSWORD)
    disabled = await add_user(db, password=PASSWORD, disabled_at=func.now())
    elsewhere = await add_user(db)
    db.add(LinkedIdentity(user_id=elsewhere.id, provider="google", issuer="https://x.example", subject="1"))
    await db.commit()
    return {
        "unknown": (new_email(), PASSWORD),
        "wrong": (known.email, "not the password at all"),
        "disabled": (disabled.email, PASSWORD),
        "sso-only": (elsewhere.email, PASSWORD),
    }


@pytest.mark.requirement("LOGIN-1")
async def test_refusals_are_all_alike(client, db):
    answers = [await post_session(client, *who) for who in (await everybody(db)).values()]
    bodies = {tuple(sorted((k, v) for k, v in a.json().items() if k != "request_id")) for a in answers}
    assert {answer.status_code for answer in answers} == {401}
    assert len(bodies) == 1
    names = {frozenset(answer.headers) for answer in answers}
    assert len(names) == 1 and "set-cookie" not in next(iter(names))


@pytest.mark.requirement("LOGIN-1")
async def test_each_refusal_is_one_event(client, db, events):
    for number, who in enumerate((await everybody(db)).values(), 1):
        await post_session(client, *who)
        assert (await events()).count("session.refused") == number


@pytest.mark.requirement("LOGIN-3")
async def test_one_account_is_guessed_from_many_addresses(client, db):
    user = await add_user(db, password=PASSWORD)
    statuses = []
    for _ in range(rate_limits.ACCOUNT.max_requests + 3):
        client.ip = new_ip()
        statuses.append((await post_session(client, user.email, "wrong wrong wrong")).status_code)
    assert statuses == [401] * rate_limits.ACCOUNT.max_requests + [429] * 3
    assert (await post_session(client, user.email)).status_code == 429
    assert rate_limits.ACCOUNT_LONG.max_requests <= 100
    assert rate_limits.ACCOUNT_LONG.seconds >= 30 * rate_limits.DAY


@pytest.mark.requirement("LOGIN-3")
async def test_nobody_locks_the_owner_out(client, other, db):
    """On a device that the owner used before, the right password works while the account is under attack."""
    user = await add_user(db, password=PASSWORD)
    assert (await post_session(client, user.email)).status_code == 204
    await client.delete("/api/session")
    refused = None
    for _ in range(rate_limits.ACCOUNT.max_requests + 1):
        other.ip = new_ip()
        refused = await post_session(other, user.email, "wrong wrong wrong")
    assert refused and refused.status_code == 429
    client.ip = new_ip()
    assert (await post_session(client, user.email)).status_code == 204


@pytest.mark.requirement("LOGIN-3")
async def test_a_hundred_failures_in_a_row_and_no_more(client, other, state, db):
    user = await add_user(db, password=PASSWORD)
    await post_session(other, user.email)
    await other.delete("/api/session")
    await use_up(state, rate_limits.ACCOUNT_LONG, user.email)
    assert (await post_session(client, user.email)).status_code == 429
    assert (await post_session(other, user.email)).status_code == 204  # the owner's device; and it unlocks
    assert (await post_session(client, user.email)).status_code == 204


@pytest.mark.requirement("LOGIN-3")
async def test_a_known_device_guesses_a_few_times(client, state, db):
    user = await add_user(db, password=PASSWORD)
    await post_session(client, user.email)
    wrong = [(await post_session(client, user.email, "wrong wrong wrong")).status_code for _ in range(11)]
    assert wrong == [401] * rate_limits.DEVICE.max_requests + [429]
    device = Device(client.cookies[cookies.DEVICE], state["settings"]).key
    for limit in (rate_limits.DEVICE, rate_limits.DEVICE_LONG):
        await state["rate_limiter"].reset(limit, f"{device}:{user.email}")
    await use_up(state, rate_limits.DEVICE_LONG, f"{device}:{user.email}")
    assert (await post_session(client, user.email)).status_code == 429
    assert (
        rate_limits.DEVICE_LONG.max_requests <= 100
        and rate_limits.DEVICE_LONG.seconds >= 30 * rate_limits.DAY
    )


@pytest.mark.parametrize("act", ["password", "sessions"])
@pytest.mark.requirement("LOGIN-3")
async def test_a_device_is_forgotten_with_its_sessions(client, other, db, mailbox, state, act):
    """Whoever had it loses its place; the browser in which the password was changed stays known."""
    user = await add_user(db, password=PASSWORD)
    for browser in (client, other):
        await post_session(browser, user.email)
    known = state["settings"]
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


@pytest.mark.requirement("LOGIN-3")
async def test_a_reset_by_mail_unlocks(client, db, mailbox):
    user = await add_user(db, password=PASSWORD)
    refused = None
    for _ in range(rate_limits.ACCOUNT.max_requests + 1):
        client.ip = new_ip()
        refused = await post_session(client, user.email, "wrong wrong wrong")
    assert refused and refused.status_code == 429
    await client.post("/api/password-reset", json={"email": user.email})
    form = {"token": await mailbox.token(), "password": "lamp orbit cactus velvet"}
    assert (await client.post("/api/password-reset/confirmation", json=form)).status_code == 204
    assert (await post_session(client, user.email, "lamp orbit cactus velvet")).status_code == 204


@pytest.mark.requirement("LOGIN-3")
async def test_a_forged_device_helps_nobody(client, db):
    user = await add_user(db, password=PASSWORD)
    statuses = []
    for number in range(rate_limits.ACCOUNT.max_requests + 1):
        client.ip = new_ip()
        client.cookies.set(cookies.DEVICE, f'["{number}",[{user.id}]].forged')
        statuses.append((await post_session(client, user.email, "wrong wrong wrong")).status_code)
    assert statuses[-1] == 429


@pytest.mark.slow
@pytest.mark.parametrize("network", ["198.51.100.7", "2001:db8:0:7::"])
@pytest.mark.requirement("LOGIN-4")
async def test_spraying_from_one_network_is_429(client, network, events):
    if network.endswith("::"):
        network = f"2001:db8:{new_ip().split('.')[1]}:{new_ip().split('.')[2]}::"
    answers = []
    for number in range(rate_limits.NETWORK.max_requests + 1):
        client.ip = f"{network}{number:x}" if ":" in network else network
        answers.append(await post_session(client, new_email(), "wrong wrong wrong"))
    statuses = [answer.status_code for answer in answers]
    assert statuses == [401] * rate_limits.NETWORK.max_requests + [429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert (await events())[-1] == "session.throttled"


@pytest.mark.requirement("LOGIN-5")
async def test_an_own_success_clears_no_others_count(client, other, db):
    mallory, alice = await add_user(db, password=PASSWORD), await add_user(db, password=PASSWORD)
    statuses = []
    for _ in range(rate_limits.NETWORK_ACCOUNT.max_requests + 1):
        statuses.append((await post_session(client, alice.email, "wrong wrong wrong")).status_code)
        assert (await post_session(other, mallory.email)).status_code == 204
    assert statuses == [401] * rate_limits.NETWORK_ACCOUNT.max_requests + [429]


@pytest.mark.requirement("LOGIN-8", "OPS-3")
async def test_other_types_are_422_and_not_echoed(client):
    for email, password in (
        ("a@example.com", {"$ne": None}),
        ("a@example.com", 12345),
        (["a@example.com", "b@example.com"], PASSWORD),
    ):
        answer = await client.post("/api/session", json={"email": email, "password": password})
        assert answer.status_code == 422
        assert set(answer.json()["errors"][0]) == {"location", "field", "message", "type"}
        assert "12345" not in answer.text and PASSWORD not in answer.text


@pytest.mark.requirement("LOGIN-9")
async def test_a_field_sent_twice_is_refused(client, db, mailbox):
    body = "email=a%40example.com&email=b%40example.com&password=x"
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert (await client.post("/api/session", content=body, headers=kind)).status_code == 422
    twice = "token=a&token=b&password=x"
    answer = await client.post("/api/password-reset/confirmation", content=twice, headers=kind)
    assert answer.status_code == 400


@pytest.mark.requirement("LOGIN-10")
async def test_an_old_hash_is_renewed_by_the_right_password_only(client, db):
    user = await add_user(db)
    old = Argon2Hasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    db.add(Password(user_id=user.id, hash=old))
    await db.commit()

    async def stored() -> str:
        return await db.scalar(select(Password.hash).where(Password.user_id == user.id)) or ""

    assert (await post_session(client, user.email, "wrong wrong wrong")).status_code == 401
    assert await stored() == old
    assert (await post_session(client, user.email)).status_code == 204
    renewed = await stored()
    assert renewed != old
    assert (await post_session(client, user.email)).status_code == 204
    assert await stored() == renewed


@pytest.mark.requirement("LOGIN-10")
async def test_a_password_has_no_age(client, db):
    user = await add_user(db, password=PASSWORD)
    await db.execute(update(Password).values(changed_at=func.now() - timedelta(days=3650)))
    await db.commit()
    assert (await post_session(client, user.email)).status_code == 204


@pytest.mark.requirement("LOGIN-11")
async def test_a_new_device_is_told_once(client, other, db, mailbox):
    user = await add_user(db, password=PASSWORD)
    await post_session(client, user.email)
    assert await mailbox() == []
    await client.delete("/api/session")
    await post_session(client, user.email)
    assert await mailbox() == []
    other.headers["user-agent"] = "Lynx <b>2</b>"
    await post_session(other, user.email)
    message = await mailbox.one()
    assert (message["to"], message["subject"]) == (user.email, "New sign-in to your Acme account")
    for part in message.iter_parts():
        assert not any(value in part.get_content() for value in other.cookies.values())
    page = message.get_body(("html",))
    assert page and "<b>2</b>" not in page.get_content()


async def test_passwords_and_tokens_are_in_no_log_line(client, db, mailbox, caplog):
    caplog.set_level("INFO")
    user = await add_user(db, password=PASSWORD)
    await post_session(client, user.email)
    await client.post("/api/password-reset", json={"email": user.email})
    token = await mailbox.token()
    await client.get(f"/api/password-reset/confirmation?token={token}")
    logged = logged_by_the_application(caplog)
    assert "/api/session" in logged
    for secret in (PASSWORD, token, user.email, *client.cookies.values()):
        assert secret not in logged


async def test_the_trail_holds_no_secrets(client, db, mailbox):
    user = await add_user(db, password=PASSWORD)
    await post_session(client, user.email, "wrong wrong wrong")
    await post_session(client, user.email)
    rows = (await db.scalars(select(Event))).all()
    told = " ".join(str(vars(row)) for row in rows)
    for secret in ("wrong wrong wrong", PASSWORD, user.email, *client.cookies.values()):
        assert secret not in told


async def test_a_user_who_forgot_to_be_remembered(client, db, user: User):
    """Without `remember` the cookie ends with the browser; with it, after 90 days."""
    ada = await add_user(db, password=PASSWORD)
    short = (await post_session(client, ada.email)).headers.get_list("set-cookie")
    long = (await post_session(client, ada.email, remember=True)).headers.get_list("set-cookie")
    assert "Max-Age" not in next(cookie for cookie in short if cookie.startswith(cookies.SESSION))
    assert "Max-Age=7776000" in next(cookie for cookie in long if cookie.startswith(cookies.SESSION))


@pytest.mark.requirement("TENANT-9", "OPS-1")
async def test_log_injection_is_one_inert_row(client, db):
    user = await add_user(db, password=PASSWORD)
    agent = "evil\x1b[31m " + "x" * 5000
    body = {"email": user.email, "password": PASSWORD}
    await client.post("/api/session", json=body, headers={"user-agent": agent})
    (row,) = (await db.scalars(select(Event).where(Event.kind == "session.started"))).all()
    assert "\x1b" not in row.user_agent and len(row.user_agent) <= 200


@pytest.mark.requirement("SES-1")
async def test_a_chosen_session_never_becomes_valid(client, db):
    user = await add_user(db, password=PASSWORD)
    chosen = "A" * 43
    client.cookies.set(cookies.SESSION, chosen)
    assert (await post_session(client, user.email)).status_code == 204
    put(client, chosen)
    assert await status(client) == 401


@pytest.mark.requirement("SES-2")
async def test_signing_in_again_rotates_the_session(client, db):
    user = await add_user(db, password=PASSWORD)
    await post_session(client, user.email)
    first = client.cookies[cookies.SESSION]
    await post_session(client, user.email)
    second = client.cookies[cookies.SESSION]
    assert first != second
    put(client, first)
    assert await status(client) == 401
    put(client, second)
    assert await status(client) == 200


@pytest.mark.requirement("SES-2")
async def test_a_changed_password_rotates_the_session(client, other, db):
    user = await add_user(db, password=PASSWORD)
    await post_session(client, user.email)
    await post_session(other, user.email)
    first = client.cookies[cookies.SESSION]
    form = {"current": PASSWORD, "new": "lamp orbit cactus velvet"}
    assert (await client.put("/api/me/password", json=form)).status_code == 204
    assert await status(client) == 200
    assert await status(other) == 401
    put(client, first)
    assert await status(client) == 401


@pytest.mark.requirement("SES-3")
async def test_the_cookie(client, db):
    user = await add_user(db, password=PASSWORD)
    answer = await post_session(client, user.email)
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
