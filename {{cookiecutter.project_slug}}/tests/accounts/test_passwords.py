"""ACCT: passwords forgotten and changed."""

from datetime import UTC, datetime, timedelta

import pytest
from httpx2 import AsyncClient
from saaskit.security import hash_password
from sqlalchemy import func, select, text, update

from app.accounts import rate_limits, users
from app.accounts.models import Password, Token
from tests.accounts.conftest import logged_by_the_application, token_in
from tests.factories import PASSWORD, add_user, new_email, new_ip, sign_in, use_up

NEW = "lamp orbit cactus velvet"


async def post_session(client: AsyncClient, email: str, password: str) -> int:
    answer = await client.post("/api/session", json={"email": email, "password": password})
    return answer.status_code


async def forgot(client, email: str, **options):
    return await client.post("/api/password-reset", json={"email": email}, **options)


async def reset(client, token: str, password: str = NEW) -> int:
    form = {"token": token, "password": password}
    return (await client.post("/api/password-reset/confirmation", json=form)).status_code


HOSTILE = [
    {"host": "evil.test"},
    {"x-forwarded-host": "evil.test"},
    {"forwarded": "host=evil.test"},
    {"host": "test:80@evil.test"},
    {"x-forwarded-proto": "http", "x-forwarded-prefix": "//evil.test", "x-original-url": "/evil"},
]


@pytest.mark.parametrize("headers", HOSTILE, ids=str)
@pytest.mark.requirement("ACCT-1", "HTTP-5")
async def test_links_are_built_from_the_configured_origin(client, db, mailbox, headers):
    user = await add_user(db, password=PASSWORD)
    await forgot(client, user.email, headers=headers)
    mails = await mailbox()
    assert len(mails) == 1
    page = mails[0][1].as_string()
    assert "evil" not in page and "https://test/api/password-reset/confirmation" in page.replace("=\n", "")


@pytest.mark.requirement("ACCT-2")
async def test_a_link_resets_once(client, db, mailbox):
    user = await add_user(db, password=PASSWORD)
    await forgot(client, user.email)
    token = await mailbox.token()
    assert await reset(client, token) == 204
    assert await reset(client, token, "another one entirely, orbit") == 422
    assert await post_session(client, user.email, NEW) == 204


@pytest.mark.requirement("ACCT-2")
async def test_only_the_newest_link_works(client, db, mailbox):
    user = await add_user(db, password=PASSWORD)
    links = []
    for _ in range(2):
        await forgot(client, user.email)
        links.append(await mailbox.token())
    assert [await reset(client, link) for link in links] == [422, 204]


@pytest.mark.requirement("ACCT-2")
async def test_a_changed_password_ends_links(client, signed_in_client, user, db, mailbox):
    db.add(Password(user_id=user.id, hash=await hash_password(PASSWORD)))
    await db.commit()
    await forgot(client, user.email)
    token = await mailbox.token()
    assert (
        await signed_in_client.put("/api/me/password", json={"current": PASSWORD, "new": NEW})
    ).status_code == 204
    assert await reset(client, token) == 422


@pytest.mark.requirement("ACCT-2")
async def test_an_expired_link_is_refused(client, db, mailbox):
    user = await add_user(db, password=PASSWORD)
    await forgot(client, user.email)
    token = await mailbox.token()
    await db.execute(update(Token).values(expires_at=func.now() - timedelta(seconds=1)))
    await db.commit()
    assert await reset(client, token) == 422


@pytest.mark.requirement("ACCT-2")
async def test_a_weak_password_leaves_the_link(client, db, mailbox):
    user = await add_user(db, password=PASSWORD)
    await forgot(client, user.email)
    token = await mailbox.token()
    assert await reset(client, token, "aaaaaaaaaaaaaaaa") == 422
    assert await reset(client, token) == 204


@pytest.mark.requirement("ACCT-3")
async def test_a_reset_ends_all_sessions_and_starts_none(client, signed_in_client, user, db, mailbox):
    await forgot(client, user.email)
    token = await mailbox.token()
    answer = await client.post("/api/password-reset/confirmation", json={"token": token, "password": NEW})
    assert (answer.status_code, answer.headers.get("set-cookie")) == (204, None)
    assert (await signed_in_client.get("/api/session")).status_code == 401
    assert (await mailbox.one())["subject"] == "Your Acme password was changed"


@pytest.mark.requirement("ACCT-4")
async def test_the_page_leaks_no_token(client, db, mailbox, caplog):
    user = await add_user(db, password=PASSWORD)
    await forgot(client, user.email)
    token = await mailbox.token()
    path = f"/api/password-reset/confirmation?token={token}"
    caplog.set_level("INFO")
    page = await client.get(path, headers={"accept": "text/html"})
    assert (page.headers["referrer-policy"], page.headers["cache-control"]) == ("strict-origin", "no-store")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "src=" not in page.text and "http" not in page.text.split("<body>")[1]
    logged = logged_by_the_application(caplog)
    assert "/api/password-reset/confirmation" in logged
    assert token not in logged


@pytest.mark.requirement("ACCT-4")
async def test_the_button_ends_on_a_page(client, db, mailbox):
    """What a browser posts is answered in HTML, whatever comes of it."""
    user = await add_user(db, password=PASSWORD)
    await forgot(client, user.email)
    token = await mailbox.token()
    path, browser = f"/api/password-reset/confirmation?token={token}", {"accept": "text/html,*/*;q=0.8"}
    form = (await client.get(path, headers=browser)).text
    assert f'<form method="post" action="?token={token}">' in form
    answers = [
        await client.post(path, data={"token": token, "password": password}, headers=browser)
        for password in ("aaaaaaaaaaaaaaaa", NEW, NEW)
    ]
    assert [answer.status_code for answer in answers] == [422, 200, 422]
    for answer, told in zip(
        answers, ("too easy to guess", "You can sign in with it", "no longer valid"), strict=True
    ):
        assert answer.headers["content-type"].startswith("text/html") and told in answer.text
        assert answer.headers["referrer-policy"] == "strict-origin"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert f'<a href="?token={token}">' in answers[0].text
    assert await post_session(client, user.email, NEW) == 204


@pytest.mark.requirement("CSRF-7")
async def test_a_page_reflects_nothing_that_runs(client):
    evil = {"token": '"><script>', "password": "<script>", "<script>": "<b>"}
    browser = {"accept": "text/html"}
    path = '/api/password-reset/confirmation?"><script>alert(1)</script>'
    answer = await client.post(path, data=evil, headers=browser)
    assert answer.status_code == 422
    assert "<script>" not in answer.text and "<b>" not in answer.text


@pytest.mark.requirement("ACCT-5")
async def test_invalid_tokens_are_refused(client):
    for token in ("null", "0", "\x00", "ä", "../x"):
        assert await reset(client, token) == 422
        state = await client.get("/api/password-reset/confirmation", params={"token": token})
        assert state.json() == {"valid": False, "expires_at": None}
    for token in ("", "x" * 101, "x" * 3000):
        assert await reset(client, token) == 422
        state = await client.get("/api/password-reset/confirmation", params={"token": token})
        assert state.status_code == 422


@pytest.mark.requirement("ACCT-5")
async def test_tokens_have_one_purpose_and_one_spelling(client, db, mailbox):
    user = await add_user(db, password=PASSWORD)
    await forgot(client, user.email)
    token = await mailbox.token()
    client.cookies = await sign_in(db, user)
    for path in ("/api/me/email/confirmation", "/api/me/email/reversal"):
        assert (await client.post(path, json={"token": token})).status_code == 422
    confirm = {"token": token, "password": PASSWORD}
    assert (await client.post("/api/users/confirmation", json=confirm)).status_code == 422
    assert await reset(client, token.swapcase()) == 422
    assert await reset(client, token) == 204


@pytest.mark.requirement("ACCT-5")
async def test_guessing_is_limited(client, state):
    await use_up(state, rate_limits.NETWORK, client.ip, leave=2)
    assert [await reset(client, f"guess-{number}") for number in range(3)] == [422, 422, 429]


@pytest.mark.requirement("ACCT-5")
async def test_only_hashes_are_stored(client, db, mailbox):
    user = await add_user(db, password=PASSWORD)
    await forgot(client, user.email)
    jobs = str((await db.execute(text("SELECT * FROM jobs"))).all())
    token = await mailbox.token()
    rows = str((await db.execute(text("SELECT * FROM tokens"))).all())
    assert token not in rows and token not in jobs


@pytest.mark.requirement("ACCT-6")
async def test_forgot_tells_nobody_who_is_known(client, db, mailbox, queries):
    known = await add_user(db, password=PASSWORD)
    elsewhere = await add_user(db)
    disabled = await add_user(db, password=PASSWORD, disabled_at=func.now())
    answers, sent = [], []
    for email in (known.email, elsewhere.email, disabled.email, new_email()):
        with queries() as statements:
            answers.append(await forgot(client, email))
        sent.append([statement.split("VALUES")[0] for statement in statements])
    assert {(a.status_code, a.text, frozenset(a.headers)) for a in answers} == {
        (202, answers[0].text, frozenset(answers[0].headers))
    }
    assert all(statements == sent[0] for statements in sent)
    assert {recipients[0] for recipients, _ in await mailbox()} == {known.email, elsewhere.email}


@pytest.mark.requirement("ACCT-9")
async def test_a_changed_password_needs_the_current_one(signed_in_client, user, db, events):
    db.add(Password(user_id=user.id, hash=await hash_password(PASSWORD)))
    await db.commit()
    for body in ({"new": NEW}, {"current": "", "new": NEW}, {"current": "wrong wrong wrong", "new": NEW}):
        assert (await signed_in_client.put("/api/me/password", json=body)).status_code == 422
    assert (await events())[-1] == "password.refused"
    guess = {"current": "wrong wrong wrong", "new": NEW}
    statuses = [
        (await signed_in_client.put("/api/me/password", json=guess)).status_code
        for _ in range(rate_limits.NETWORK_ACCOUNT.max_requests)
    ]
    assert statuses[-1] == 429
    signed_in_client.ip = new_ip()
    assert (
        await signed_in_client.put("/api/me/password", json={"current": PASSWORD, "new": NEW})
    ).status_code == 204


@pytest.mark.requirement("ACCT-7")
async def test_who_takes_an_account_back_chooses_a_password(signed_in_client, user, client, db, mailbox):
    """The one that somebody else may know is gone."""
    db.add(Password(user_id=user.id, hash=await hash_password(PASSWORD)))
    await db.commit()
    old = user.email
    await signed_in_client.put("/api/me/email", json={"email": new_email()})
    await signed_in_client.post("/api/me/email/confirmation", json={"token": await mailbox.token()})
    back = {"token": await mailbox.token()}
    assert (await client.post("/api/me/email/reversal", json=back)).status_code == 204
    assert await post_session(client, old, PASSWORD) == 401
    message = await mailbox.one()
    assert (message["to"], message["subject"]) == (old, "Reset your Acme password")
    assert await reset(client, token_in(message)) == 204
    assert await post_session(client, old, NEW) == 204


@pytest.mark.requirement("SES-7")
async def test_an_erased_account_has_no_password(user, client, db, mailbox):
    db.add(Password(user_id=user.id, hash=await hash_password(PASSWORD)))
    user.delete_at = datetime.now(UTC) - timedelta(seconds=1)
    email = user.email
    await db.commit()
    assert await users.erase_due(db) == 1
    await db.commit()
    assert (await mailbox.one())["subject"] == "Your Acme account was deleted"
    assert await post_session(client, email, PASSWORD) == 401
    assert not await db.scalar(select(Password).where(Password.user_id == user.id))
    await client.post("/api/users", json={"email": email, "name": "Ada", "password": PASSWORD})
    assert (await mailbox.one())["subject"] == "Confirm your e-mail address for Acme"
