"""SES: sessions and their cookie."""

from pathlib import Path

import pytest
from saaskit.web import set_cookie
from sqlalchemy import func, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from app.accounts import browser as cookies
from app.accounts import sessions
from app.accounts.models import Session, User
from tests.factories import add_user, sign_in


def put(client, value: str) -> None:
    client.cookies.clear()
    client.cookies.set(cookies.SESSION, value)


async def status(client) -> int:
    return (await client.get("/api/session")).status_code


NAMES = [
    cookies.SESSION,
    cookies.DEVICE,
    cookies.FLOW,
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.requirement("SES-3")
def test_every_cookie_is_set_alike(name):
    response = Response()
    set_cookie(response, name, "x", 60)
    assert name.startswith("__Host-")
    attributes = set(response.headers["set-cookie"].split("; "))
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= attributes
    app = Path(__file__).parents[2] / "app"
    source = "".join(path.read_text(encoding="utf-8") for path in app.rglob("*.py"))
    assert ".set_cookie(" not in source, "use saaskit.web.set_cookie, which sets these attributes"


@pytest.mark.requirement("SES-4")
async def test_signing_out_is_on_the_server(signed_in_client):
    token = signed_in_client.cookies[cookies.SESSION]
    answer = await signed_in_client.delete("/api/session")
    assert answer.status_code == 204
    assert answer.headers["clear-site-data"]
    (cleared,) = answer.headers.get_list("set-cookie")
    assert {"Max-Age=0", "Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= set(cleared.split("; "))
    put(signed_in_client, token)
    assert await status(signed_in_client) == 401


@pytest.mark.requirement("SES-5")
async def test_one_session_is_ended(signed_in_client, other, user, db):
    other.cookies = await sign_in(db, user)
    listed = (await signed_in_client.get("/api/sessions")).json()["items"]
    (theirs,) = [item["id"] for item in listed if not item["current"]]
    assert (await signed_in_client.delete(f"/api/sessions/{theirs}")).status_code == 204
    assert (await status(other), await status(signed_in_client)) == (401, 200)
    assert (await signed_in_client.delete(f"/api/sessions/{theirs}")).status_code == 404


@pytest.mark.requirement("SES-5")
async def test_anothers_session_is_404_and_lives_on(signed_in_client, other, db):
    other.cookies = await sign_in(db, await add_user(db))
    (theirs,) = [item["id"] for item in (await other.get("/api/sessions")).json()["items"]]
    assert (await signed_in_client.delete(f"/api/sessions/{theirs}")).status_code == 404
    assert await status(other) == 200


@pytest.mark.requirement("SES-5")
async def test_all_others_are_ended(signed_in_client, other, user, db):
    other.cookies = await sign_in(db, user)
    stranger = await sign_in(db, await add_user(db))
    assert (await signed_in_client.delete("/api/sessions")).status_code == 204
    assert (await status(other), await status(signed_in_client)) == (401, 200)
    put(other, stranger[cookies.SESSION])
    assert await status(other) == 200


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
async def test_sensitive_acts_need_a_fresh_sign_in(signed_in_client, user, db, events, method, path, body):
    await db.execute(update(Session).values(signed_in_at=func.now() - sessions.RECENT))
    await db.commit()
    answer = await signed_in_client.request(method, path, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["type"]) == (403, "sign_in_again")
    assert (await events())[-1] == "session.not_fresh"
    assert await status(signed_in_client) == 200


@pytest.mark.requirement("SES-6")
async def test_idle_sessions_end(signed_in_client, db):
    await db.execute(update(Session).values(seen_at=func.now() - sessions.IDLE - sessions.SEEN_INTERVAL / 60))
    await db.commit()
    assert await status(signed_in_client) == 401


@pytest.mark.requirement("SES-6")
async def test_sessions_end_whatever_happens_in_them(signed_in_client, db):
    await db.execute(update(Session).values(expires_at=func.now() - sessions.SEEN_INTERVAL / 60))
    await db.commit()
    assert await status(signed_in_client) == 401


@pytest.mark.requirement("SES-6")
async def test_use_is_noted_once_a_minute(signed_in_client, db, queries):
    with queries() as sent:
        await signed_in_client.get("/api/session")
    assert len(sent) == 1
    await db.execute(update(Session).values(seen_at=func.now() - 2 * sessions.SEEN_INTERVAL))
    await db.commit()
    counts = []
    for _ in range(2):
        with queries() as sent:
            await signed_in_client.get("/api/session")
        counts.append(len(sent))
    assert counts == [2, 1]


@pytest.mark.requirement("SES-7")
async def test_a_disabled_user_is_out_at_once(signed_in_client, user, db):
    await db.execute(update(User).where(User.id == user.id).values(disabled_at=func.now()))
    await db.commit()
    assert await status(signed_in_client) == 401


@pytest.mark.requirement("SES-8")
async def test_an_invalid_cookie_is_401(client):
    for value in ("", "x", "A" * 43, "A" * 8192, "%00", "ä", '"quoted"', "a;b", "../..", "null", "\x00"):
        sent = {"cookie": f"{cookies.SESSION}={value}".encode("latin-1")}
        assert (await client.get("/api/session", headers=sent)).status_code == 401


@pytest.mark.requirement("SES-8")
async def test_two_cookies_of_the_name_are_refused(signed_in_client):
    token = signed_in_client.cookies[cookies.SESSION]
    for pair in ((token, "evil"), ("evil", token)):
        sent = "; ".join(f"{cookies.SESSION}={value}" for value in pair)
        assert (await signed_in_client.get("/api/session", headers={"cookie": sent})).status_code == 400


@pytest.mark.requirement("SES-9")
async def test_nothing_is_cached(signed_in_client, db):
    assert await status(signed_in_client) == 200
    await db.execute(text("DELETE FROM sessions"))
    await db.commit()
    assert await status(signed_in_client) == 401


@pytest.mark.requirement("SES-10")
async def test_the_list_holds_own_sessions_and_no_tokens(signed_in_client, user, db: AsyncSession):
    await sign_in(db, await add_user(db))
    answer = await signed_in_client.get("/api/sessions")
    (session,) = answer.json()["items"]
    assert session["current"] and session["user_agent"] == "Firefox"
    assert signed_in_client.cookies[cookies.SESSION] not in answer.text
    assert not {"token", "token_hash", "user_id"} & set(session)


@pytest.mark.requirement("SES-11", "TOKEN-4")
async def test_a_session_is_no_bearer_token(signed_in_client):
    token = signed_in_client.cookies[cookies.SESSION]
    signed_in_client.cookies.clear()
    for header in (f"Bearer {token}", f"bearer {token}", f"Session {token}", f"Basic {token}"):
        assert (
            await signed_in_client.get("/api/session", headers={"authorization": header})
        ).status_code == 401
    assert (await signed_in_client.get(f"/api/session?token={token}&session={token}")).status_code == 401


@pytest.mark.parametrize(
    "path", ["/api/session", "/api/me", "/api/nothing", "/api/session/", "/api/sessions"]
)
@pytest.mark.requirement("SES-12")
async def test_answers_are_not_stored(signed_in_client, path):
    assert (await signed_in_client.get(path)).headers["cache-control"] == "no-store"


async def test_a_stranger_is_401_and_told_how(client):
    answer = await client.get("/api/session")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Session")


async def test_a_signed_in_request_costs_one_query_more(signed_in_client, client, queries):
    with queries() as signed:
        await signed_in_client.get("/api/me/events")
    assert len(signed) == 2
