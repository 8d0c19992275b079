"""SES: sessions and their cookie."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, func, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import browser as cookies
from app.accounts import sessions
from app.accounts.models import Session, User
from tests.factories import add_user, sign_in


def set_session_cookie(client, token: str) -> None:
    client.cookies.clear()
    client.cookies.set(cookies.SESSION, token)


async def session_status(client) -> int:
    return (await client.get("/api/session")).status_code


@pytest.mark.requirement("SES-4")
async def test_signing_out_ends_the_session_on_the_server(signed_in_client):
    token = signed_in_client.cookies[cookies.SESSION]
    response = await signed_in_client.delete("/api/session")
    assert response.status_code == 204
    assert response.headers["clear-site-data"]
    (cookie,) = response.headers.get_list("set-cookie")
    assert {"Max-Age=0", "Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
    set_session_cookie(signed_in_client, token)
    assert await session_status(signed_in_client) == 401


@pytest.mark.requirement("SES-5")
async def test_a_user_can_end_one_session(signed_in_client, other, user, db):
    other.cookies = await sign_in(db, user)
    items = (await signed_in_client.get("/api/sessions")).json()["items"]
    (session_id,) = [item["id"] for item in items if not item["current"]]
    assert (await signed_in_client.delete(f"/api/sessions/{session_id}")).status_code == 204
    assert (await session_status(other), await session_status(signed_in_client)) == (401, 200)
    assert (await signed_in_client.delete(f"/api/sessions/{session_id}")).status_code == 404


@pytest.mark.requirement("SES-5")
async def test_another_users_session_is_404_and_does_not_end(signed_in_client, other, db):
    other.cookies = await sign_in(db, await add_user(db))
    (session,) = (await other.get("/api/sessions")).json()["items"]
    assert (await signed_in_client.delete(f"/api/sessions/{session['id']}")).status_code == 404
    assert await session_status(other) == 200


@pytest.mark.requirement("SES-5")
async def test_a_user_can_end_all_other_sessions(signed_in_client, other, user, db):
    other.cookies = await sign_in(db, user)
    cookies_of_another_user = await sign_in(db, await add_user(db))
    assert (await signed_in_client.delete("/api/sessions")).status_code == 204
    assert (await session_status(other), await session_status(signed_in_client)) == (401, 200)
    other.cookies = cookies_of_another_user
    assert await session_status(other) == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/api/sessions", None),
        ("DELETE", "/api/sessions/1", None),
        ("DELETE", "/api/me", None),
        ("PUT", "/api/me/email", {"email": "new@example.com"}),
        ("POST", "/api/identities", {"provider": "google"}),
        ("DELETE", "/api/identities/1", None),
    ],
    ids=str,
)
@pytest.mark.requirement("SES-5", "ACCT-7", "ACCT-10", "LINK-4")
async def test_sensitive_operations_require_a_recent_sign_in(
    signed_in_client, db, events, method, path, body
):
    await db.execute(update(Session).values(signed_in_at=func.now() - sessions.RECENT))
    await db.commit()
    response = await signed_in_client.request(method, path, json=body)
    assert (response.status_code, response.json()["errors"][0]["type"]) == (403, "sign_in_again")
    assert (await events())[-1] == "session.not_fresh"
    assert await session_status(signed_in_client) == 200


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(update(Session).values(seen_at=func.now() - sessions.IDLE - SECOND), id="idle"),
        pytest.param(update(Session).values(expires_at=func.now() - SECOND), id="expired"),
        pytest.param(update(User).values(disabled_at=func.now()), id="disabled user"),
        pytest.param(delete(Session), id="deleted"),
    ],
)
@pytest.mark.requirement("SES-6", "SES-7", "SES-9")
async def test_an_idle_expired_disabled_or_deleted_session_is_401(signed_in_client, db, change):
    """The session is read from the database at each request."""
    assert await session_status(signed_in_client) == 200
    await db.execute(change)
    await db.commit()
    assert await session_status(signed_in_client) == 401


@pytest.mark.requirement("SES-6")
async def test_a_session_costs_one_query_and_one_update_a_minute(signed_in_client, db, queries):
    counts = []
    for age in (0, 2, 0):
        if age:
            await db.execute(update(Session).values(seen_at=func.now() - age * sessions.SEEN_INTERVAL))
            await db.commit()
        with queries() as sent:
            await signed_in_client.get("/api/session")
        counts.append(len(sent))
    assert counts == [1, 2, 1]


@pytest.mark.requirement("SES-8")
async def test_an_invalid_session_cookie_is_401(client):
    for value in ("", "x", "A" * 43, "A" * 8192, "%00", "ä", '"quoted"', "a;b", "../..", "null", "\x00"):
        headers = {"cookie": f"{cookies.SESSION}={value}".encode("latin-1")}
        response = await client.get("/api/session", headers=headers)
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Session")


@pytest.mark.requirement("SES-8")
async def test_two_session_cookies_are_400(signed_in_client):
    token = signed_in_client.cookies[cookies.SESSION]
    for values in ((token, "evil"), ("evil", token)):
        cookie = "; ".join(f"{cookies.SESSION}={value}" for value in values)
        response = await signed_in_client.get("/api/session", headers={"cookie": cookie})
        assert response.status_code == 400


@pytest.mark.requirement("SES-10")
async def test_the_list_contains_the_users_own_sessions_without_tokens(signed_in_client, db: AsyncSession):
    await sign_in(db, await add_user(db))
    response = await signed_in_client.get("/api/sessions")
    (session,) = response.json()["items"]
    assert session["current"] and session["user_agent"] == "Firefox"
    assert signed_in_client.cookies[cookies.SESSION] not in response.text
    assert not {"token", "token_hash", "user_id"} & set(session)


@pytest.mark.requirement("SES-11", "TOKEN-4")
async def test_a_session_token_is_accepted_only_in_the_cookie(signed_in_client):
    token = signed_in_client.cookies[cookies.SESSION]
    signed_in_client.cookies.clear()
    for scheme in ("Bearer", "bearer", "Session", "Basic"):
        headers = {"authorization": f"{scheme} {token}"}
        assert (await signed_in_client.get("/api/session", headers=headers)).status_code == 401
    assert (await signed_in_client.get(f"/api/session?token={token}&session={token}")).status_code == 401


@pytest.mark.parametrize(
    "path", ["/api/session", "/api/me", "/api/nothing", "/api/session/", "/api/sessions"]
)
@pytest.mark.requirement("SES-12")
async def test_browsers_and_caches_do_not_store_responses(signed_in_client, path):
    assert (await signed_in_client.get(path)).headers["cache-control"] == "no-store"
