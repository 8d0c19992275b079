"""ACCT: passwords are reset and changed."""

import pytest
from httpx2 import AsyncClient
from saaskit.security import hash_password
from sqlalchemy import func, text

from app.accounts import rate_limits
from app.accounts.models import Password
from tests.factories import PASSWORD, add_user, new_email, new_ip, sign_in, use_up

NEW = "lamp orbit cactus velvet"


async def post_session(client: AsyncClient, email: str, password: str) -> int:
    response = await client.post("/api/session", json={"email": email, "password": password})
    return response.status_code


async def request_reset(client, email: str, **options):
    return await client.post("/api/password-reset", json={"email": email}, **options)


async def reset(client, token: str, password: str = NEW) -> int:
    form = {"token": token, "password": password}
    return (await client.post("/api/password-reset/confirmation", json=form)).status_code


FORGED_HEADERS = [
    {"host": "evil.test"},
    {"x-forwarded-host": "evil.test"},
    {"forwarded": "host=evil.test"},
    {"host": "test:80@evil.test"},
    {"x-forwarded-proto": "http", "x-forwarded-prefix": "//evil.test", "x-original-url": "/evil"},
]


@pytest.mark.parametrize("headers", FORGED_HEADERS, ids=str)
@pytest.mark.requirement("ACCT-1", "HTTP-5")
async def test_links_in_emails_have_the_configured_origin(client, db, mailbox, headers):
    user = await add_user(db, password=PASSWORD)
    await request_reset(client, user.email, headers=headers)
    text = (await mailbox.one()).as_string().replace("=\n", "")
    assert "evil" not in text and "https://test/api/password-reset/confirmation" in text


@pytest.mark.requirement("ACCT-2")
async def test_only_the_newest_reset_link_works_and_only_once(client, db, mailbox):
    user, links = await add_user(db, password=PASSWORD), []
    for _ in range(2):
        await request_reset(client, user.email)
        links.append(await mailbox.token())
    assert [await reset(client, link) for link in (*links, links[1])] == [422, 204, 422]
    assert await post_session(client, user.email, NEW) == 204


@pytest.mark.requirement("ACCT-2")
async def test_a_password_change_ends_reset_links(client, signed_in_client, user, db, mailbox):
    db.add(Password(user_id=user.id, hash=await hash_password(PASSWORD)))
    await db.commit()
    await request_reset(client, user.email)
    token = await mailbox.token()
    form = {"current": PASSWORD, "new": NEW}
    assert (await signed_in_client.put("/api/me/password", json=form)).status_code == 204
    assert await reset(client, token) == 422


@pytest.mark.requirement("ACCT-2")
async def test_a_weak_password_does_not_use_up_the_reset_link(client, db, mailbox):
    user = await add_user(db, password=PASSWORD)
    await request_reset(client, user.email)
    token = await mailbox.token()
    assert await reset(client, token, "aaaaaaaaaaaaaaaa") == 422
    assert await reset(client, token) == 204


@pytest.mark.requirement("ACCT-3")
async def test_a_reset_ends_all_sessions_and_starts_none(client, signed_in_client, user, db, mailbox):
    await request_reset(client, user.email)
    token = await mailbox.token()
    form = {"token": token, "password": NEW}
    response = await client.post("/api/password-reset/confirmation", json=form)
    assert (response.status_code, response.headers.get("set-cookie")) == (204, None)
    assert (await signed_in_client.get("/api/session")).status_code == 401
    assert (await mailbox.one())["subject"] == "Your Acme password was changed"


@pytest.mark.requirement("ACCT-4")
async def test_the_reset_form_responds_with_pages_that_do_not_leak_the_token(client, db, mailbox):
    user = await add_user(db, password=PASSWORD)
    await request_reset(client, user.email)
    token = await mailbox.token()
    path, browser = f"/api/password-reset/confirmation?token={token}", {"accept": "text/html,*/*;q=0.8"}
    page = await client.get(path, headers=browser)
    assert f'<form method="post" action="?token={token}">' in page.text
    responses = [
        await client.post(path, data={"token": token, "password": password}, headers=browser)
        for password in ("aaaaaaaaaaaaaaaa", NEW, NEW)
    ]
    assert [response.status_code for response in responses] == [422, 200, 422]
    messages = ("too easy to guess", "You can sign in with it", "no longer valid")
    for response, message in zip(responses, messages, strict=True):
        assert message in response.text
    for response in (page, *responses):
        assert response.headers["content-type"].startswith("text/html")
        assert response.headers["referrer-policy"] == "strict-origin"
        assert response.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "src=" not in response.text and "http" not in response.text.split("<body>")[1]
    assert f'<a href="?token={token}">' in responses[0].text
    assert await post_session(client, user.email, NEW) == 204


@pytest.mark.requirement("CSRF-7")
async def test_a_page_does_not_echo_submitted_html(client):
    form = {"token": '"><script>', "password": "<script>", "<script>": "<b>"}
    browser = {"accept": "text/html"}
    path = '/api/password-reset/confirmation?"><script>alert(1)</script>'
    response = await client.post(path, data=form, headers=browser)
    assert response.status_code == 422
    assert "<script>" not in response.text and "<b>" not in response.text


@pytest.mark.requirement("ACCT-5")
async def test_a_malformed_token_is_refused(client):
    for token in ("null", "0", "\x00", "ä", "../x"):
        assert await reset(client, token) == 422
        state = await client.get("/api/password-reset/confirmation", params={"token": token})
        assert state.json() == {"valid": False, "expires_at": None}
    for token in ("", "x" * 101, "x" * 3000):
        assert await reset(client, token) == 422
        state = await client.get("/api/password-reset/confirmation", params={"token": token})
        assert state.status_code == 422


@pytest.mark.requirement("ACCT-5")
async def test_a_token_works_for_its_purpose_only_and_is_case_sensitive(client, db, mailbox):
    user = await add_user(db, password=PASSWORD)
    await request_reset(client, user.email)
    token = await mailbox.token()
    client.cookies = await sign_in(db, user)
    for path in ("/api/me/email/confirmation", "/api/me/email/reversal"):
        assert (await client.post(path, json={"token": token})).status_code == 422
    confirm = {"token": token, "password": PASSWORD}
    assert (await client.post("/api/users/confirmation", json=confirm)).status_code == 422
    assert await reset(client, token.swapcase()) == 422
    assert await reset(client, token) == 204


@pytest.mark.requirement("ACCT-5")
async def test_guesses_of_tokens_are_limited(client, state):
    await use_up(state, rate_limits.NETWORK, client.ip, leave=2)
    assert [await reset(client, f"guess-{number}") for number in range(3)] == [422, 422, 429]


@pytest.mark.requirement("ACCT-5")
async def test_tokens_are_stored_as_hashes_only(client, db, mailbox):
    user = await add_user(db, password=PASSWORD)
    await request_reset(client, user.email)
    jobs = str((await db.execute(text("SELECT * FROM jobs"))).all())
    token = await mailbox.token()
    rows = str((await db.execute(text("SELECT * FROM tokens"))).all())
    assert token not in rows and token not in jobs


@pytest.mark.requirement("ACCT-6")
async def test_a_reset_request_does_not_reveal_whether_an_account_exists(client, db, mailbox, queries):
    known = await add_user(db, password=PASSWORD)
    without_password = await add_user(db)
    disabled = await add_user(db, password=PASSWORD, disabled_at=func.now())
    responses, sent = [], []
    for email in (known.email, without_password.email, disabled.email, new_email()):
        with queries() as statements:
            responses.append(await request_reset(client, email))
        sent.append([statement.split("VALUES")[0] for statement in statements])
    assert {response.status_code for response in responses} == {202}
    assert len({(response.text, frozenset(response.headers)) for response in responses}) == 1
    assert all(statements == sent[0] for statements in sent)
    assert {recipients[0] for recipients, _ in await mailbox()} == {known.email, without_password.email}


@pytest.mark.requirement("ACCT-9")
async def test_a_password_change_requires_the_current_password(signed_in_client, user, db, events):
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
