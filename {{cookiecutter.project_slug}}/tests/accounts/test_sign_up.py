"""SIGNUP: asking for an account, and confirming it."""

import pytest
from httpx2 import AsyncClient
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import rate_limits
from app.accounts.models import Session, User
from tests.factories import PASSWORD, add_user, new_email, new_ip


def form(**fields) -> dict:
    return {"email": new_email(), "name": "Ada Lindqvist", "password": PASSWORD} | fields


async def test_an_account_is_made_when_its_mailbox_and_password_agree(client, mailbox, db, events):
    ada = form()
    answer = await client.post("/api/users", json=ada)
    assert answer.status_code == 202
    assert not await db.scalar(select(User.id).where(User.email == ada["email"]))
    message = await mailbox.one()
    assert (message["to"], message["subject"]) == (ada["email"], "Confirm your e-mail address for Acme")
    made = await client.post("/api/users/confirmation", json={"token": _token(message), "password": PASSWORD})
    assert (made.status_code, made.json()["email"]) == (201, ada["email"])
    assert not made.headers.get("set-cookie")
    assert (
        await client.post("/api/session", json={k: ada[k] for k in ("email", "password")})
    ).status_code == 204
    assert await events() == ["sign_up.asked", "user.created", "session.started"]


async def test_nobody_is_there_from_the_beginning(db):
    """The migrations make no account that everybody knows."""
    assert await db.scalar(select(func.count()).select_from(User)) == 0


def _token(message) -> str:
    from tests.accounts.conftest import token_in

    return token_in(message)


@pytest.mark.requirement("SIGNUP-1")
async def test_known_and_new_addresses_get_the_same_answer(client, mailbox, db):
    known, new = form(email=(await add_user(db)).email), form()
    answers = [await client.post("/api/users", json=body) for body in (known, new)]
    first, second = answers
    assert (first.status_code, first.json()) == (second.status_code, second.json()) == (202, first.json())
    assert set(first.headers) == set(second.headers)
    assert "set-cookie" not in first.headers
    mails = {recipients[0]: message["subject"] for recipients, message in await mailbox()}
    assert mails == {
        known["email"]: "You already have an account at Acme",
        new["email"]: "Confirm your e-mail address for Acme",
    }


@pytest.mark.requirement("SIGNUP-2")
async def test_known_and_new_addresses_cost_the_same_statements(client, db, queries):
    """The times are measured by benchmarks/accounts; here, that the work is the same."""
    sent = []
    for body in (form(email=(await add_user(db)).email), form()):
        with queries() as statements:
            await client.post("/api/users", json=body)
        sent.append([statement.split("VALUES")[0] for statement in statements])
    assert sent[0] == sent[1]


@pytest.mark.requirement("SIGNUP-3")
async def test_mail_goes_to_the_stored_address(client, mailbox, db):
    stored = new_email()
    await add_user(db, email=stored)
    for spelling in (stored.upper(), stored.replace("@", "@").replace("example", "ＥＸＡＭＰＬＥ")):
        await client.post("/api/password-reset", json={"email": spelling})
        ((recipients, message),) = await mailbox()
        assert (recipients, message["to"]) == ([stored], stored)


@pytest.mark.requirement("SIGNUP-4")
async def test_header_injection_is_422(client, mailbox):
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
async def test_names_are_inert_in_mails(client, mailbox, name):
    await client.post("/api/users", json=form(name=name))
    message = await mailbox.one()
    for part in message.iter_parts():
        content = part.get_content()
        assert "evil" not in content
        assert "49" not in content.replace(_token(message), "")


@pytest.mark.requirement("SIGNUP-6")
async def test_extra_fields_are_named_and_refused(client):
    extra = ["created_at", "disabled_at", "email_verified", "id", "is_admin", "role"]
    answer = await client.post("/api/users", json=form(**dict.fromkeys(extra, 1)))
    assert answer.status_code == 422
    assert sorted(error["field"] for error in answer.json()["errors"]) == extra


@pytest.mark.requirement("SIGNUP-7")
async def test_weak_passwords_are_422_with_a_reason(client):
    body = form()
    for password in ("fourteen chars", "password12345678", body["email"]):
        answer = await client.post("/api/users", json=body | {"password": password})
        assert answer.status_code == 422
        (error,) = answer.json()["errors"]
        assert (error["field"], error["type"]) == ("password", "weak_password")
        assert password not in answer.text


@pytest.mark.requirement("SIGNUP-7")
async def test_the_products_own_name_is_weak(client, state, monkeypatch):
    settings = state["settings"].model_copy(update={"public_url": "https://companyname.example"})
    state["settings"] = settings
    answer = await client.post("/api/users", json=form(password="companyname2026!"))
    assert answer.status_code == 422


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
async def test_long_and_odd_passwords_are_kept_exactly(client, mailbox, password):
    body = form(password=password)
    assert (await client.post("/api/users", json=body)).status_code == 202
    token = await mailbox.token()
    confirm = {"token": token, "password": password}
    wrong = confirm | {"password": password[:-1] + "#"}
    assert (await client.post("/api/users/confirmation", json=wrong)).status_code == 422
    assert (await client.post("/api/users/confirmation", json=confirm)).status_code == 201


@pytest.mark.requirement("SIGNUP-9")
async def test_a_link_works_once(client, mailbox):
    await client.post("/api/users", json=form())
    confirm = {"token": await mailbox.token(), "password": PASSWORD}
    assert (await client.post("/api/users/confirmation", json=confirm)).status_code == 201
    again = await client.post("/api/users/confirmation", json=confirm)
    assert (again.status_code, again.json()["detail"]) == (
        422,
        "This link is no longer valid. Request a new one.",
    )
    assert "set-cookie" not in again.headers


@pytest.mark.requirement("SIGNUP-9")
async def test_a_second_mail_ends_the_first_link(client, mailbox):
    body = form()
    await client.post("/api/users", json=body)
    first = await mailbox.token()
    await client.post("/api/users", json=body)
    second = await mailbox.token()
    for token, status in ((first, 422), (second, 201)):
        answer = await client.post("/api/users/confirmation", json={"token": token, "password": PASSWORD})
        assert answer.status_code == status


@pytest.mark.requirement("SIGNUP-9", "SIGNUP-11")
async def test_nobody_else_ends_a_link(client, other, mailbox):
    """Mallory asks for Alice's address again and again: Alice's link and password still make her account."""
    body = form()
    await client.post("/api/users", json=body)
    mine = await mailbox.token()
    other.ip = new_ip()
    for _ in range(rate_limits.MAILS.max_requests + 1):
        await other.post("/api/users", json=body | {"password": "mallory knows this one"})
    await mailbox()
    answer = await client.post("/api/users/confirmation", json={"token": mine, "password": PASSWORD})
    assert answer.status_code == 201


@pytest.mark.requirement("SIGNUP-9", "SIGNUP-12")
async def test_what_is_not_mailed_ends_no_link(client, mailbox):
    body, links = form(), []
    for _ in range(rate_limits.MAILS.max_requests):
        await client.post("/api/users", json=body)
        links.append(await mailbox.token())
    await client.post("/api/users", json=body | {"password": "lamp orbit cactus velvet"})
    assert await mailbox() == []
    answer = await client.post("/api/users/confirmation", json={"token": links[-1], "password": PASSWORD})
    assert answer.status_code == 201


@pytest.mark.requirement("SIGNUP-9")
async def test_a_link_expires(client, mailbox, db):
    await client.post("/api/users", json=form())
    token = await mailbox.token()
    await db.execute(text("UPDATE tokens SET expires_at = now() - interval '1 second'"))
    await db.commit()
    answer = await client.post("/api/users/confirmation", json={"token": token, "password": PASSWORD})
    assert answer.status_code == 422


@pytest.mark.requirement("SIGNUP-9")
async def test_looking_at_a_link_uses_nothing_up(client, mailbox):
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
async def test_another_ones_link_changes_nothing_for_who_opens_it(signed_in_client, mailbox, user, db):
    ada = form()
    await signed_in_client.post("/api/users", json=ada)
    token = await mailbox.token()
    answer = await signed_in_client.post(
        "/api/users/confirmation", json={"token": token, "password": "mallory's own password"}
    )
    assert answer.status_code == 422
    assert (await signed_in_client.get("/api/session")).json()["user"]["email"] == user.email
    assert not await db.scalar(select(User.id).where(User.email == ada["email"]))


@pytest.mark.requirement("SIGNUP-11")
async def test_unverified_is_nobody(client, mailbox, db):
    ceo = form()
    await client.post("/api/users", json=ceo)
    sign_in = {"email": ceo["email"], "password": PASSWORD}
    assert (await client.post("/api/session", json=sign_in)).status_code == 401
    await client.post("/api/password-reset", json={"email": ceo["email"]})
    subjects = [message["subject"] for _, message in await mailbox()]
    assert subjects == ["Confirm your e-mail address for Acme"]
    assert await db.scalar(select(func.count()).select_from(Session)) == 0


@pytest.mark.requirement("SIGNUP-11")
async def test_prehijacking_fails(client, other, mailbox):
    """Mallory asks first, with her password. Alice's mailbox alone does not confirm it; her own does."""
    alice = new_email()
    await other.post("/api/users", json=form(email=alice, password="mallory knows this one"))
    trap = await mailbox.token()
    await client.post("/api/users", json=form(email=alice))
    assert (
        await client.post("/api/users/confirmation", json={"token": trap, "password": PASSWORD})
    ).status_code == 422
    token = await mailbox.token()
    confirm = {"token": token, "password": "mallory knows this one"}
    assert (await other.post("/api/users/confirmation", json=confirm)).status_code == 422
    confirm["password"] = PASSWORD
    assert (await client.post("/api/users/confirmation", json=confirm)).status_code == 201
    sign_in = {"email": alice, "password": "mallory knows this one"}
    assert (await other.post("/api/session", json=sign_in)).status_code == 401


@pytest.mark.requirement("SIGNUP-12")
async def test_a_mailbox_gets_five_mails_an_hour(client, mailbox, state, db):
    alice = (await add_user(db)).email
    answers = []
    for number in range(rate_limits.MAILS.max_requests + 4):
        client.ip = new_ip()
        path, body = "/api/password-reset", {"email": alice}
        if number % 3 == 0:
            path, body = "/api/users", form(email=alice)
        answers.append((await client.post(path, json=body)).status_code)
    assert set(answers) == {202}
    assert len(await mailbox()) == rate_limits.MAILS.max_requests


@pytest.mark.requirement("SIGNUP-13")
async def test_parallel_confirmations_make_one_account(client: AsyncClient, mailbox, db: AsyncSession):
    """One after the other: all tests of a worker share a connection. test_races.py has them in parallel."""
    ada = form()
    for _ in range(3):
        await client.post("/api/users", json=ada)
    mails = await mailbox()
    confirm = {"token": _token(mails[-1][1]), "password": PASSWORD}
    statuses = [(await client.post("/api/users/confirmation", json=confirm)).status_code for _ in range(5)]
    assert sorted(statuses) == [201, 422, 422, 422, 422]
    assert await db.scalar(select(func.count()).where(User.email == ada["email"])) == 1


@pytest.mark.parametrize("path", ["/api/session", "/api/users", "/api/password-reset"])
@pytest.mark.requirement("CSRF-11")
async def test_sign_in_and_sign_up_from_elsewhere_are_403(client, db, path):
    user = await add_user(db, password=PASSWORD)
    body = {"email": user.email, "password": PASSWORD}
    answer = await client.post(path, json=body, headers={"sec-fetch-site": "cross-site"})
    assert (answer.status_code, answer.headers.get("set-cookie")) == (403, None)
