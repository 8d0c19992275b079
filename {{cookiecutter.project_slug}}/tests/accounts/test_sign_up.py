"""SIGNUP: users request an account and confirm it."""

import pytest
from httpx2 import AsyncClient
from sqlalchemy import func, select, text

from app.accounts import rate_limits
from app.accounts.models import Session, User
from tests.accounts.conftest import token_in
from tests.factories import PASSWORD, add_user, new_email, new_ip


def form(**fields) -> dict:
    return {"email": new_email(), "name": "Ada Lindqvist", "password": PASSWORD} | fields


async def confirm(client: AsyncClient, token: str, password: str = PASSWORD) -> int:
    form = {"token": token, "password": password}
    return (await client.post("/api/users/confirmation", json=form)).status_code


async def test_an_account_is_created_with_the_emailed_link_and_the_password(client, mailbox, db, events):
    ada = form()
    response = await client.post("/api/users", json=ada)
    assert response.status_code == 202
    assert not await db.scalar(select(User.id).where(User.email == ada["email"]))
    message = await mailbox.one()
    assert (message["to"], message["subject"]) == (ada["email"], "Confirm your e-mail address for Acme")
    confirmation = {"token": token_in(message), "password": PASSWORD}
    created = await client.post("/api/users/confirmation", json=confirmation)
    assert (created.status_code, created.json()["email"]) == (201, ada["email"])
    assert not created.headers.get("set-cookie")
    credentials = {"email": ada["email"], "password": PASSWORD}
    assert (await client.post("/api/session", json=credentials)).status_code == 204
    assert await events() == ["sign_up.asked", "user.created", "session.started"]


async def test_a_new_database_has_no_users(db):
    """There are no default accounts."""
    assert await db.scalar(select(func.count()).select_from(User)) == 0


@pytest.mark.requirement("SIGNUP-1")
async def test_known_and_new_addresses_get_the_same_response(client, mailbox, db):
    known, new = form(email=(await add_user(db)).email), form()
    first, second = [await client.post("/api/users", json=body) for body in (known, new)]
    assert (first.status_code, first.json()) == (second.status_code, second.json()) == (202, first.json())
    assert set(first.headers) == set(second.headers)
    assert "set-cookie" not in first.headers
    subjects = {recipients[0]: message["subject"] for recipients, message in await mailbox()}
    assert subjects == {
        known["email"]: "You already have an account at Acme",
        new["email"]: "Confirm your e-mail address for Acme",
    }


@pytest.mark.requirement("SIGNUP-2")
async def test_known_and_new_addresses_cause_the_same_queries(client, db, queries):
    """The same work takes the same time. benchmarks/accounts measures it."""
    sent = []
    for body in (form(email=(await add_user(db)).email), form()):
        with queries() as statements:
            await client.post("/api/users", json=body)
        sent.append([statement.split("VALUES")[0] for statement in statements])
    assert sent[0] == sent[1]


@pytest.mark.requirement("SIGNUP-3")
async def test_email_is_sent_to_the_stored_spelling_of_the_address(client, mailbox, db):
    stored = new_email()
    await add_user(db, email=stored)
    for spelling in (stored.upper(), stored.replace("example", "ＥＸＡＭＰＬＥ")):
        await client.post("/api/password-reset", json={"email": spelling})
        ((recipients, message),) = await mailbox()
        assert (recipients, message["to"]) == ([stored], stored)


@pytest.mark.requirement("SIGNUP-4")
async def test_line_breaks_in_an_address_or_a_name_are_422(client, mailbox):
    address = "a@example.com\r\nBcc: m@evil.example"
    assert (await client.post("/api/users", json=form(email=address))).status_code == 422
    for name in ("X\r\nBcc: m@evil.example", "a" * 5000, "nul \x00"):
        assert (await client.post("/api/users", json=form(name=name))).status_code == 422
    assert await mailbox() == []


@pytest.mark.parametrize(
    "name",
    ["<a href=//evil.example>click</a>", "http://evil.example/", "\u202eevil", "{{7*7}} ${jndi:x} $link"],
)
@pytest.mark.requirement("SIGNUP-5", "INPUT-5", "INPUT-12")
async def test_emails_do_not_contain_the_requested_name(client, mailbox, name):
    await client.post("/api/users", json=form(name=name))
    message = await mailbox.one()
    for part in message.iter_parts():
        content = part.get_content()
        assert "evil" not in content
        assert "49" not in content.replace(token_in(message), "")


@pytest.mark.requirement("SIGNUP-6")
async def test_unknown_fields_are_named_and_refused(client):
    extra = ["created_at", "disabled_at", "email_verified", "id", "is_admin", "role"]
    response = await client.post("/api/users", json=form(**dict.fromkeys(extra, 1)))
    assert response.status_code == 422
    assert sorted(error["field"] for error in response.json()["errors"]) == extra


@pytest.mark.requirement("SIGNUP-7")
async def test_weak_passwords_are_422_with_a_reason(client):
    body = form()
    for password in ("fourteen chars", "password12345678", body["email"]):
        response = await client.post("/api/users", json=body | {"password": password})
        assert response.status_code == 422
        (error,) = response.json()["errors"]
        assert (error["field"], error["type"]) == ("password", "weak_password")
        assert password not in response.text


@pytest.mark.requirement("SIGNUP-7")
async def test_a_password_with_the_name_of_the_product_is_weak(client, state):
    changes = {"public_url": "https://companyname.example"}
    state["settings"] = state["settings"].model_copy(update=changes)
    response = await client.post("/api/users", json=form(password="companyname2026!"))
    assert response.status_code == 422


@pytest.mark.parametrize(
    "password",
    [
        "kq9Zw7!pLm" * 12 + "12345678",
        "  blanks at both ends, emoji 🦜🪼🧭, lamp  ",
        "nul \x00 orbit velvet cactus",
    ],
    ids=ascii,
)
@pytest.mark.requirement("SIGNUP-8")
async def test_every_character_of_a_long_or_unusual_password_counts(client, mailbox, password):
    assert (await client.post("/api/users", json=form(password=password))).status_code == 202
    token = await mailbox.token()
    assert await confirm(client, token, password[:-1] + "#") == 422
    assert await confirm(client, token, password) == 201


@pytest.mark.requirement("SIGNUP-9")
async def test_a_confirmation_link_works_once(client, mailbox):
    await client.post("/api/users", json=form())
    confirmation = {"token": await mailbox.token(), "password": PASSWORD}
    assert (await client.post("/api/users/confirmation", json=confirmation)).status_code == 201
    repeated = await client.post("/api/users/confirmation", json=confirmation)
    assert repeated.status_code == 422
    assert repeated.json()["detail"] == "This link is no longer valid. Request a new one."
    assert "set-cookie" not in repeated.headers


@pytest.mark.requirement("SIGNUP-9")
async def test_only_the_newest_confirmation_link_works(client, mailbox):
    body, links = form(), []
    for _ in range(2):
        await client.post("/api/users", json=body)
        links.append(await mailbox.token())
    assert [await confirm(client, link) for link in links] == [422, 201]


@pytest.mark.requirement("SIGNUP-9", "SIGNUP-11")
async def test_requests_by_others_do_not_end_a_confirmation_link(client, other, mailbox):
    """Mallory requests an account with Alice's address. Alice can still confirm her own request."""
    body = form()
    await client.post("/api/users", json=body)
    token = await mailbox.token()
    other.ip = new_ip()
    for _ in range(rate_limits.MAILS.max_requests + 1):
        await other.post("/api/users", json=body | {"password": "mallory knows this one"})
    await mailbox()
    assert await confirm(client, token) == 201


@pytest.mark.requirement("SIGNUP-9", "SIGNUP-12")
async def test_a_request_over_the_mail_limit_leaves_the_confirmation_link_valid(client, mailbox):
    body = form()
    tokens = []
    for _ in range(rate_limits.MAILS.max_requests):
        await client.post("/api/users", json=body)
        tokens.append(await mailbox.token())
    await client.post("/api/users", json=body | {"password": "lamp orbit cactus velvet"})
    assert await mailbox() == []
    assert await confirm(client, tokens[-1]) == 201


@pytest.mark.requirement("SIGNUP-9")
async def test_an_expired_link_is_refused(client, mailbox, db):
    await client.post("/api/users", json=form())
    token = await mailbox.token()
    await db.execute(text("UPDATE tokens SET expires_at = now() - interval '1 second'"))
    await db.commit()
    assert await confirm(client, token) == 422


@pytest.mark.requirement("SIGNUP-9")
async def test_opening_a_link_does_not_use_it_up(client, mailbox):
    await client.post("/api/users", json=form())
    token = await mailbox.token()
    path = f"/api/users/confirmation?token={token}"
    assert (await client.get(path)).json()["valid"]
    page = await client.get(path, headers={"accept": "text/html,*/*"})
    assert page.headers["content-type"].startswith("text/html")
    assert (page.headers["referrer-policy"], page.headers["cache-control"]) == ("strict-origin", "no-store")
    assert "script" not in page.text and "//" not in page.text.replace("<!", "")
    assert '<input type="password" name="password" required>' in page.text
    await client.head(path)
    sent = await client.post("/api/users/confirmation", data={"token": token, "password": PASSWORD})
    assert sent.status_code == 201
    assert (await client.get(path)).json() == {"valid": False, "expires_at": None}
    assert "no longer valid" in (await client.get(path, headers={"accept": "text/html"})).text


@pytest.mark.requirement("SIGNUP-10")
async def test_a_link_of_another_user_does_not_change_the_session(signed_in_client, mailbox, user, db):
    ada = form()
    await signed_in_client.post("/api/users", json=ada)
    assert await confirm(signed_in_client, await mailbox.token(), "mallory's own password") == 422
    assert (await signed_in_client.get("/api/session")).json()["user"]["email"] == user.email
    assert not await db.scalar(select(User.id).where(User.email == ada["email"]))


@pytest.mark.requirement("SIGNUP-11")
async def test_an_unconfirmed_account_cannot_sign_in_or_reset_its_password(client, mailbox, db):
    body = form()
    await client.post("/api/users", json=body)
    credentials = {"email": body["email"], "password": PASSWORD}
    assert (await client.post("/api/session", json=credentials)).status_code == 401
    await client.post("/api/password-reset", json={"email": body["email"]})
    subjects = [message["subject"] for _, message in await mailbox()]
    assert subjects == ["Confirm your e-mail address for Acme"]
    assert await db.scalar(select(func.count()).select_from(Session)) == 0


@pytest.mark.requirement("SIGNUP-11")
async def test_an_earlier_request_by_an_attacker_gives_no_access(client, other, mailbox):
    """Mallory requests an account with Alice's address first. Only Alice's own password confirms her link."""
    alice, attackers_password = new_email(), "mallory knows this one"
    await other.post("/api/users", json=form(email=alice, password=attackers_password))
    attackers_token = await mailbox.token()
    await client.post("/api/users", json=form(email=alice))
    assert await confirm(client, attackers_token) == 422
    token = await mailbox.token()
    assert await confirm(other, token, attackers_password) == 422
    assert await confirm(client, token) == 201
    credentials = {"email": alice, "password": attackers_password}
    assert (await other.post("/api/session", json=credentials)).status_code == 401


@pytest.mark.requirement("SIGNUP-12")
async def test_an_address_gets_five_emails_an_hour(client, mailbox, state, db):
    alice = (await add_user(db)).email
    statuses = []
    for number in range(rate_limits.MAILS.max_requests + 4):
        client.ip = new_ip()
        path, body = "/api/password-reset", {"email": alice}
        if number % 3 == 0:
            path, body = "/api/users", form(email=alice)
        statuses.append((await client.post(path, json=body)).status_code)
    assert set(statuses) == {202}
    assert len(await mailbox()) == rate_limits.MAILS.max_requests
