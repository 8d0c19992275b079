"""SES: sessions and their cookie."""

from pathlib import Path

import pytest
from sqlalchemy import func, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import Response

from app.core import cookies
from app.models.sessions import Session
from app.models.users import User
from app.services import sessions
from tests.factories import add_user, signed_in


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
def test_SES_3_every_cookie_is_set_alike(name):
    response = Response()
    cookies.put(response, name, "x", 60)
    assert name.startswith("__Host-")
    attributes = set(response.headers["set-cookie"].split("; "))
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= attributes
    app = Path(__file__).parents[2] / "app"
    setting = [path for path in app.rglob("*.py") if "set_cookie(" in path.read_text(encoding="utf-8")]
    assert setting == [app / "core/cookies.py"]


async def test_SES_4_signing_out_is_on_the_server(member):
    token = member.cookies[cookies.SESSION]
    answer = await member.delete("/api/session")
    assert answer.status_code == 204
    assert answer.headers["clear-site-data"]
    (cleared,) = answer.headers.get_list("set-cookie")
    assert {"Max-Age=0", "Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= set(cleared.split("; "))
    put(member, token)
    assert await status(member) == 401


async def test_SES_5_one_session_is_ended(member, other, user, db):
    other.cookies = await signed_in(db, user)
    listed = (await member.get("/api/sessions")).json()["items"]
    (theirs,) = [item["id"] for item in listed if not item["current"]]
    assert (await member.delete(f"/api/sessions/{theirs}")).status_code == 204
    assert (await status(other), await status(member)) == (401, 200)
    assert (await member.delete(f"/api/sessions/{theirs}")).status_code == 404


async def test_SES_5_anothers_session_is_404_and_lives_on(member, other, db):
    other.cookies = await signed_in(db, await add_user(db))
    (theirs,) = [item["id"] for item in (await other.get("/api/sessions")).json()["items"]]
    assert (await member.delete(f"/api/sessions/{theirs}")).status_code == 404
    assert await status(other) == 200


async def test_SES_5_all_others_are_ended(member, other, user, db):
    other.cookies = await signed_in(db, user)
    stranger = await signed_in(db, await add_user(db))
    assert (await member.delete("/api/sessions")).status_code == 204
    assert (await status(other), await status(member)) == (401, 200)
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
async def test_SES_5_ACCT_7_ACCT_10_LINK_4_sensitive_acts_need_a_fresh_sign_in(
    member, user, db, events, method, path, body
):
    await db.execute(update(Session).values(signed_in_at=func.now() - sessions.FRESH))
    await db.commit()
    answer = await member.request(method, path, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["type"]) == (403, "sign_in_again")
    assert (await events())[-1] == "session.not_fresh"
    assert await status(member) == 200


async def test_SES_6_idle_sessions_end(member, db):
    await db.execute(update(Session).values(seen_at=func.now() - sessions.IDLE - sessions.TOUCH / 60))
    await db.commit()
    assert await status(member) == 401


async def test_SES_6_sessions_end_whatever_happens_in_them(member, db):
    await db.execute(update(Session).values(expires_at=func.now() - sessions.TOUCH / 60))
    await db.commit()
    assert await status(member) == 401


async def test_SES_6_use_is_noted_once_a_minute(member, db, queries):
    with queries() as sent:
        await member.get("/api/session")
    assert len(sent) == 1
    await db.execute(update(Session).values(seen_at=func.now() - 2 * sessions.TOUCH))
    await db.commit()
    counts = []
    for _ in range(2):
        with queries() as sent:
            await member.get("/api/session")
        counts.append(len(sent))
    assert counts == [2, 1]


async def test_SES_7_a_disabled_user_is_out_at_once(member, user, db):
    await db.execute(update(User).where(User.id == user.id).values(disabled_at=func.now()))
    await db.commit()
    assert await status(member) == 401


@pytest.mark.parametrize(
    "value", ["", "x", "A" * 43, "A" * 8192, "%00", "ä", '"quoted"', "a;b", "../..", "null", "\x00"]
)
async def test_SES_8_a_garbled_cookie_is_nobody(client, value):
    sent = {"cookie": f"{cookies.SESSION}={value}".encode("latin-1")}
    answer = await client.get("/api/session", headers=sent)
    assert answer.status_code in (400, 401)


async def test_SES_8_two_cookies_of_the_name_are_refused(member):
    token = member.cookies[cookies.SESSION]
    for pair in ((token, "evil"), ("evil", token)):
        sent = "; ".join(f"{cookies.SESSION}={value}" for value in pair)
        assert (await member.get("/api/session", headers={"cookie": sent})).status_code == 400


async def test_SES_9_nothing_is_cached(member, db):
    assert await status(member) == 200
    await db.execute(text("DELETE FROM sessions"))
    await db.commit()
    assert await status(member) == 401


async def test_SES_10_the_list_holds_own_sessions_and_no_tokens(member, user, db: AsyncSession):
    await signed_in(db, await add_user(db))
    answer = await member.get("/api/sessions")
    (session,) = answer.json()["items"]
    assert session["current"] and session["user_agent"] == "Firefox"
    assert member.cookies[cookies.SESSION] not in answer.text
    assert not {"token", "token_hash", "user_id"} & set(session)


async def test_SES_11_TOKEN_4_a_session_is_no_bearer_token(member):
    token = member.cookies[cookies.SESSION]
    member.cookies.clear()
    for header in (f"Bearer {token}", f"bearer {token}", f"Session {token}", f"Basic {token}"):
        assert (await member.get("/api/session", headers={"authorization": header})).status_code == 401
    assert (await member.get(f"/api/session?token={token}&session={token}")).status_code == 401


@pytest.mark.parametrize(
    "path", ["/api/session", "/api/me", "/api/nothing", "/api/session/", "/api/sessions"]
)
async def test_SES_12_answers_are_not_stored(member, path):
    assert (await member.get(path)).headers["cache-control"] == "no-store"


async def test_a_stranger_is_401_and_told_how(client):
    answer = await client.get("/api/session")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Session")


async def test_a_signed_in_request_costs_one_query_more(member, client, queries):
    with queries() as signed:
        await member.get("/api/jobs")
    assert len(signed) == 2
