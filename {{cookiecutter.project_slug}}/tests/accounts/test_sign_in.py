"""LOGIN: sign-in with a password, and limits on guessing."""

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from httpx2 import AsyncClient
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import browser as cookies
from app.accounts import rate_limits
from app.accounts.browser import Device
from app.accounts.models import Event, LinkedIdentity, Password, Session
from tests.accounts.conftest import logged_by_the_application
from tests.accounts.test_sessions import session_status, set_session_cookie
from tests.factories import PASSWORD, add_user, new_email, new_ip, use_up


async def post_session(client: AsyncClient, email: str, password: str = PASSWORD, **fields):
    return await client.post("/api/session", json={"email": email, "password": password} | fields)


async def refused_credentials(db: AsyncSession) -> list[tuple[str, str]]:
    """Return credentials that are refused, each for a different reason."""
    user = await add_user(db, password=PASSWORD)
    disabled = await add_user(db, password=PASSWORD, disabled_at=func.now())
    without_password = await add_user(db)
    identity = {"provider": "google", "issuer": "https://x.example", "subject": "1"}
    db.add(LinkedIdentity(user_id=without_password.id, **identity))
    await db.commit()
    return [
        (new_email(), PASSWORD),
        (user.email, "not the password at all"),
        (disabled.email, PASSWORD),
        (without_password.email, PASSWORD),
    ]


@pytest.mark.requirement("LOGIN-1")
async def test_all_refused_sign_ins_get_the_same_response_and_event(client, db, events):
    responses = [await post_session(client, *credentials) for credentials in await refused_credentials(db)]
    bodies = [response.json() | {"request_id": ""} for response in responses]
    assert {response.status_code for response in responses} == {401}
    assert all(body == bodies[0] for body in bodies)
    assert len({frozenset(response.headers) for response in responses}) == 1
    assert "set-cookie" not in responses[0].headers
    assert await events() == ["session.refused"] * len(responses)


@pytest.mark.requirement("LOGIN-3")
async def test_guesses_for_one_account_are_limited_across_networks(client, db):
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
async def test_failed_sign_ins_do_not_lock_out_a_known_device(client, other, db):
    """The correct password works in a browser that the user signed in with before."""
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
async def test_the_monthly_limit_of_failures_ends_with_a_sign_in_on_a_known_device(client, other, state, db):
    user = await add_user(db, password=PASSWORD)
    await post_session(other, user.email)
    await other.delete("/api/session")
    await use_up(state, rate_limits.ACCOUNT_LONG, user.email)
    assert (await post_session(client, user.email)).status_code == 429
    assert (await post_session(other, user.email)).status_code == 204
    assert (await post_session(client, user.email)).status_code == 204


@pytest.mark.requirement("LOGIN-3")
async def test_guesses_on_a_known_device_are_limited(client, state, db):
    user = await add_user(db, password=PASSWORD)
    await post_session(client, user.email)
    statuses = [(await post_session(client, user.email, "wrong wrong wrong")).status_code for _ in range(11)]
    assert statuses == [401] * rate_limits.DEVICE.max_requests + [429]
    device = Device(client.cookies[cookies.DEVICE], state["settings"]).key
    for limit in (rate_limits.DEVICE, rate_limits.DEVICE_LONG):
        await state["rate_limiter"].reset(limit, f"{device}:{user.email}")
    await use_up(state, rate_limits.DEVICE_LONG, f"{device}:{user.email}")
    assert (await post_session(client, user.email)).status_code == 429
    assert rate_limits.DEVICE_LONG.max_requests <= 100
    assert rate_limits.DEVICE_LONG.seconds >= 30 * rate_limits.DAY


@pytest.mark.parametrize("change", ["password", "sessions"])
@pytest.mark.requirement("LOGIN-3")
async def test_other_devices_are_unknown_after_sessions_or_password_change(client, other, db, state, change):
    """Only a browser in which the password was changed remains known."""
    user = await add_user(db, password=PASSWORD)
    for browser in (client, other):
        await post_session(browser, user.email)
    if change == "password":
        form = {"current": PASSWORD, "new": "lamp orbit cactus velvet"}
        assert (await client.put("/api/me/password", json=form)).status_code == 204
    else:
        assert (await client.delete("/api/sessions")).status_code == 204
    await db.refresh(user)
    devices = [Device(browser.cookies[cookies.DEVICE], state["settings"]) for browser in (client, other)]
    known = [device.knows(user.id, user.device_epoch) for device in devices]
    assert known == [change == "password", False]


@pytest.mark.requirement("LOGIN-3")
async def test_a_password_reset_ends_the_limit_on_an_account(client, db, mailbox):
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
async def test_a_forged_device_cookie_does_not_avoid_the_limit(client, db):
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
async def test_guesses_for_many_accounts_from_one_network_are_429(client, network, events):
    if network.endswith("::"):
        network = f"2001:db8:{new_ip().split('.')[1]}:{new_ip().split('.')[2]}::"
    responses = []
    for number in range(rate_limits.NETWORK.max_requests + 1):
        client.ip = f"{network}{number:x}" if ":" in network else network
        responses.append(await post_session(client, new_email(), "wrong wrong wrong"))
    statuses = [response.status_code for response in responses]
    assert statuses == [401] * rate_limits.NETWORK.max_requests + [429]
    assert int(responses[-1].headers["retry-after"]) >= 1
    assert (await events())[-1] == "session.throttled"


@pytest.mark.requirement("LOGIN-5")
async def test_a_sign_in_does_not_reset_the_limit_of_another_account(client, other, db):
    mallory, alice = await add_user(db, password=PASSWORD), await add_user(db, password=PASSWORD)
    statuses = []
    for _ in range(rate_limits.NETWORK_ACCOUNT.max_requests + 1):
        statuses.append((await post_session(client, alice.email, "wrong wrong wrong")).status_code)
        assert (await post_session(other, mallory.email)).status_code == 204
    assert statuses == [401] * rate_limits.NETWORK_ACCOUNT.max_requests + [429]


@pytest.mark.requirement("LOGIN-8", "OPS-3")
async def test_values_of_another_type_are_422_and_not_echoed(client):
    for email, password in (
        ("a@example.com", {"$ne": None}),
        ("a@example.com", 12345),
        (["a@example.com", "b@example.com"], PASSWORD),
    ):
        response = await client.post("/api/session", json={"email": email, "password": password})
        assert response.status_code == 422
        assert set(response.json()["errors"][0]) == {"location", "field", "message", "type"}
        assert "12345" not in response.text and PASSWORD not in response.text


@pytest.mark.requirement("LOGIN-9")
async def test_a_repeated_form_field_is_refused(client):
    body = "email=a%40example.com&email=b%40example.com&password=x"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert (await client.post("/api/session", content=body, headers=headers)).status_code == 422
    body = "token=a&token=b&password=x"
    response = await client.post("/api/password-reset/confirmation", content=body, headers=headers)
    assert response.status_code == 400


@pytest.mark.requirement("LOGIN-10")
async def test_only_the_correct_password_renews_an_outdated_hash(client, db):
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
async def test_an_old_password_does_not_expire(client, db):
    user = await add_user(db, password=PASSWORD)
    await db.execute(update(Password).values(changed_at=func.now() - timedelta(days=3650)))
    await db.commit()
    assert (await post_session(client, user.email)).status_code == 204


@pytest.mark.requirement("LOGIN-11")
async def test_a_sign_in_with_a_new_device_sends_one_email(client, other, db, mailbox):
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


async def test_logs_contain_no_passwords_tokens_or_addresses(client, db, mailbox, caplog):
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


async def test_audit_events_contain_no_passwords_tokens_or_addresses(client, db):
    user = await add_user(db, password=PASSWORD)
    await post_session(client, user.email, "wrong wrong wrong")
    await post_session(client, user.email)
    recorded = " ".join(str(vars(row)) for row in await db.scalars(select(Event)))
    assert "session.refused" in recorded
    for secret in ("wrong wrong wrong", PASSWORD, user.email, *client.cookies.values()):
        assert secret not in recorded


async def test_the_session_cookie_ends_with_the_browser_unless_remembered(client, db):
    user = await add_user(db, password=PASSWORD)
    temporary = (await post_session(client, user.email)).headers.get_list("set-cookie")
    remembered = (await post_session(client, user.email, remember=True)).headers.get_list("set-cookie")
    assert "Max-Age" not in next(cookie for cookie in temporary if cookie.startswith(cookies.SESSION))
    assert "Max-Age=7776000" in next(cookie for cookie in remembered if cookie.startswith(cookies.SESSION))


@pytest.mark.requirement("TENANT-9", "OPS-1")
async def test_an_event_has_a_short_user_agent_without_control_characters(client, db):
    user = await add_user(db, password=PASSWORD)
    client.headers["user-agent"] = "evil\x1b[31m " + "x" * 5000
    await post_session(client, user.email)
    (event,) = await db.scalars(select(Event).where(Event.kind == "session.started"))
    assert event.user_agent.startswith("evil[31m x") and len(event.user_agent) == 200


@pytest.mark.requirement("SES-1")
async def test_a_session_cookie_chosen_by_an_attacker_never_becomes_valid(client, db):
    user = await add_user(db, password=PASSWORD)
    chosen = "A" * 43
    client.cookies.set(cookies.SESSION, chosen)
    assert (await post_session(client, user.email)).status_code == 204
    set_session_cookie(client, chosen)
    assert await session_status(client) == 401


@pytest.mark.requirement("SES-2")
async def test_signing_in_again_replaces_the_session(client, db):
    user = await add_user(db, password=PASSWORD)
    await post_session(client, user.email)
    first = client.cookies[cookies.SESSION]
    await post_session(client, user.email)
    assert await session_status(client) == 200
    set_session_cookie(client, first)
    assert await session_status(client) == 401


@pytest.mark.requirement("SES-2")
async def test_a_password_change_replaces_the_session_and_ends_the_others(client, other, db):
    user = await add_user(db, password=PASSWORD)
    await post_session(client, user.email)
    await post_session(other, user.email)
    first = client.cookies[cookies.SESSION]
    form = {"current": PASSWORD, "new": "lamp orbit cactus velvet"}
    assert (await client.put("/api/me/password", json=form)).status_code == 204
    assert (await session_status(client), await session_status(other)) == (200, 401)
    set_session_cookie(client, first)
    assert await session_status(client) == 401


@pytest.mark.requirement("SES-3")
async def test_cookies_are_secure_and_the_session_token_is_stored_as_a_hash(client, db):
    user = await add_user(db, password=PASSWORD)
    sent = (await post_session(client, user.email)).headers.get_list("set-cookie")
    assert [cookie.partition("=")[0] for cookie in sent] == [cookies.SESSION, cookies.DEVICE]
    for cookie in sent:
        assert cookie.startswith("__Host-")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
        assert "Domain" not in cookie and len(cookie) < 4096
    token = client.cookies[cookies.SESSION]
    stored = await db.scalar(select(Session.token_hash).where(Session.user_id == user.id))
    assert (len(token), stored) == (43, hashlib.sha256(token.encode()).digest())


@pytest.mark.requirement("SES-3")
def test_the_product_sets_cookies_with_set_cookie_only():
    """`saaskit.web.set_cookie` makes them secure."""
    app = Path(__file__).parents[2] / "app"
    source = "".join(path.read_text(encoding="utf-8") for path in app.rglob("*.py"))
    assert "set_cookie(response, SESSION" in source
    assert all(name.startswith("__Host-") for name in (cookies.SESSION, cookies.DEVICE, cookies.FLOW))
    assert ".set_cookie(" not in source
