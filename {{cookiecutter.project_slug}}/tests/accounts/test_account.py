"""ACCT: e-mail addresses are changed, and accounts are deleted."""

from datetime import UTC, datetime, timedelta

import pytest
from saaskit.security import hash_password
from sqlalchemy import func, select, update

from app.accounts import rate_limits, tokens, users
from app.accounts.models import LinkedIdentity, Password, Session, Token
from tests.accounts.conftest import token_in
from tests.factories import PASSWORD, add_user, new_email, sign_in


async def request_email_change(signed_in_client, email: str):
    return await signed_in_client.put("/api/me/email", json={"email": email})


@pytest.mark.parametrize("suffix", ["/x.css", "%2fx.js", ";.png", ".css", "/..%2fx.css", "%00.css"])
@pytest.mark.requirement("PROXY-10")
async def test_a_private_url_with_the_suffix_of_a_static_file_is_404(signed_in_client, suffix: str):
    """Caches that store responses by file extension store no private data."""
    assert (await signed_in_client.get("/api/me")).status_code == 200
    response = await signed_in_client.get(f"/api/me{suffix}")
    assert (response.status_code, response.headers["cache-control"]) == (404, "no-store")


@pytest.mark.requirement("ACCT-7")
async def test_an_email_change_takes_effect_when_it_is_confirmed(signed_in_client, user, mailbox, events):
    old, new = user.email, new_email()
    assert (await request_email_change(signed_in_client, new)).status_code == 202
    message = await mailbox.one()
    assert message["to"] == new
    assert (await signed_in_client.get("/api/me")).json()["email"] == old
    token = token_in(message)
    assert (await signed_in_client.get(f"/api/me/email/confirmation?token={token}")).json()["valid"]
    response = await signed_in_client.post("/api/me/email/confirmation", json={"token": token})
    assert response.status_code == 204
    assert (await signed_in_client.get("/api/me")).json()["email"] == new
    notice = await mailbox.one()
    assert (notice["to"], notice["subject"]) == (old, "Your e-mail address for Acme was changed")
    assert {"email.change_asked", "email.changed"} <= set(await events())


@pytest.mark.parametrize(
    ("order", "statuses"), [((0, 1), [204, 422]), ((1, 0), [204, 204])], ids=["oldest first", "newest first"]
)
@pytest.mark.requirement("ACCT-7")
async def test_each_email_change_can_be_reverted(
    signed_in_client, user, client, db, mailbox, order, statuses
):
    """Reverting a change reverts the later ones, too, and ends their links. Earlier links stay valid."""
    original_email, links = user.email, []
    for _ in range(2):
        await request_email_change(signed_in_client, new_email())
        await signed_in_client.post("/api/me/email/confirmation", json={"token": await mailbox.token()})
        links.append({"token": await mailbox.token()})
    responses = [await client.post("/api/me/email/reversal", json=links[index]) for index in order]
    assert [response.status_code for response in responses] == statuses
    await db.refresh(user)
    assert user.email == original_email


@pytest.mark.requirement("ACCT-7")
async def test_a_request_over_the_mail_limit_leaves_the_change_link_valid(signed_in_client, mailbox):
    wanted = new_email()
    tokens = []
    for _ in range(rate_limits.MAILS.max_requests):
        await request_email_change(signed_in_client, wanted)
        tokens.append(await mailbox.token())
    assert (await request_email_change(signed_in_client, wanted)).status_code == 202
    assert await mailbox() == []
    link = {"token": tokens[-1]}
    assert (await signed_in_client.post("/api/me/email/confirmation", json=link)).status_code == 204


@pytest.mark.requirement("ACCT-8")
async def test_a_change_to_an_address_in_use_gets_the_same_response(signed_in_client, db, mailbox):
    taken = await add_user(db)
    responses = [await request_email_change(signed_in_client, email) for email in (taken.email, new_email())]
    assert len({(response.status_code, response.text) for response in responses}) == 1
    subjects = {recipients[0]: message["subject"] for recipients, message in await mailbox()}
    assert subjects[taken.email] == "You already have an account at Acme"


@pytest.mark.requirement("ACCT-7", "SIGNUP-11")
async def test_only_the_user_who_requested_an_email_change_confirms_it(
    signed_in_client, user, other, db, mailbox, events
):
    """Mallory requests a change to Alice's address. Alice follows the link, signed out and signed in."""
    original_email, alice = user.email, await add_user(db)
    await request_email_change(signed_in_client, new_email())
    link = {"token": await mailbox.token()}
    assert (await other.post("/api/me/email/confirmation", json=link)).status_code == 401
    other.cookies = await sign_in(db, alice)
    refused = await other.post("/api/me/email/confirmation", json=link)
    assert refused.json()["detail"] == "This link is no longer valid. Request a new one."
    assert refused.status_code == 422
    assert (await signed_in_client.get("/api/me")).json()["email"] == original_email
    assert (await events())[-1] == "email.bad_token"
    assert (await signed_in_client.post("/api/me/email/confirmation", json=link)).status_code == 204


@pytest.mark.requirement("ACCT-7")
async def test_the_forms_of_email_links_respond_with_pages(signed_in_client, other, mailbox):
    results = []
    await request_email_change(signed_in_client, new_email())
    for path, client in (("confirmation", signed_in_client), ("reversal", other)):
        form = {"data": {"token": await mailbox.token()}, "headers": {"accept": "text/html"}}
        for browser in (other, client):
            response = await browser.post(f"/api/me/email/{path}", **form)
            assert response.headers["content-type"].startswith("text/html")
            results.append((response.status_code, "Done" in response.text))
    assert results == [(401, False), (200, True), (200, True), (422, False)]


async def test_a_planned_deletion_is_announced_and_can_be_cancelled(
    signed_in_client, user, other, db, mailbox, events
):
    other.cookies = await sign_in(db, user)
    response = await signed_in_client.delete("/api/me")
    planned = datetime.fromisoformat(response.json()["delete_at"])
    assert response.status_code == 202
    assert abs(planned - datetime.now(UTC) - users.GRACE_PERIOD) < timedelta(minutes=1)
    assert (await other.get("/api/session")).status_code == 401
    assert (await mailbox.one())["subject"] == "Your Acme account will be deleted"
    assert await users.erase_due(db) == 0
    assert (await signed_in_client.delete("/api/me/deletion")).json()["delete_at"] is None
    assert (await mailbox.one())["subject"] == "Your Acme account will not be deleted"
    assert {"user.deletion_planned", "user.deletion_cancelled"} <= set(await events())


async def test_a_user_can_change_the_name_and_no_other_field(signed_in_client):
    changed = await signed_in_client.patch("/api/me", json={"name": "Ada King"})
    assert changed.json()["name"] == (await signed_in_client.get("/api/me")).json()["name"] == "Ada King"
    for body in ({"name": ""}, {"email": "x@example.com"}, {"id": 1}, {"name": "a\r\nb"}):
        assert (await signed_in_client.patch("/api/me", json=body)).status_code == 422


@pytest.mark.parametrize(
    "name", ["Robert'); DROP TABLE users;--", "' OR '1'='1", "%s %n {0.__class__} $1 :name", "\\x27 $(id)"]
)
@pytest.mark.requirement("INPUT-5")
async def test_a_name_with_sql_or_format_syntax_is_stored_unchanged(signed_in_client, name):
    assert (await signed_in_client.patch("/api/me", json={"name": name})).status_code == 200
    assert (await signed_in_client.get("/api/me")).json()["name"] == name


async def test_expired_tokens_and_sessions_are_deleted(signed_in_client, user, db):
    await tokens.issue(db, "email", str(user.id), user_id=user.id)
    await db.execute(update(Token).values(expires_at=func.now() - timedelta(seconds=1)))
    await db.execute(update(Session).values(expires_at=func.now() - timedelta(seconds=1)))
    assert await users.delete_expired(db) == 2
    for table in (Token, Session):
        assert not await db.scalar(select(func.count()).select_from(table))


@pytest.mark.requirement("ACCT-7")
async def test_reverting_an_email_change_ends_all_sessions_and_the_password(
    signed_in_client, user, client, db, mailbox
):
    """Someone else may know the password, so the user chooses a new one from a reset link."""
    db.add(Password(user_id=user.id, hash=await hash_password(PASSWORD)))
    await db.commit()
    old, new_password = user.email, "lamp orbit cactus velvet"
    await request_email_change(signed_in_client, new_email())
    await signed_in_client.post("/api/me/email/confirmation", json={"token": await mailbox.token()})
    token = await mailbox.token()
    assert (await client.get(f"/api/me/email/reversal?token={token}")).json()["valid"]
    assert (await client.post("/api/me/email/reversal", json={"token": token})).status_code == 204
    assert (await signed_in_client.get("/api/session")).status_code == 401
    credentials = {"email": old, "password": PASSWORD}
    assert (await client.post("/api/session", json=credentials)).status_code == 401
    message = await mailbox.one()
    assert (message["to"], message["subject"]) == (old, "Reset your Acme password")
    form = {"token": token_in(message), "password": new_password}
    assert (await client.post("/api/password-reset/confirmation", json=form)).status_code == 204
    credentials["password"] = new_password
    assert (await client.post("/api/session", json=credentials)).status_code == 204


@pytest.mark.requirement("TENANT-10", "SES-7")
async def test_an_erased_account_keeps_no_personal_data_and_no_credentials(
    signed_in_client, client, user, db, mailbox
):
    await tokens.issue(db, "email", str(user.id), user_id=user.id)
    db.add(Password(user_id=user.id, hash=await hash_password(PASSWORD)))
    db.add(LinkedIdentity(user_id=user.id, provider="x", issuer="https://x.example", subject="1"))
    user.delete_at = datetime.now(UTC) - timedelta(seconds=1)
    email = user.email
    await db.commit()
    assert await users.erase_due(db) == 1
    await db.commit()
    assert (await mailbox.one())["subject"] == "Your Acme account was deleted"
    assert (await signed_in_client.get("/api/session")).status_code == 401
    form = {"email": email, "password": PASSWORD}
    assert (await client.post("/api/session", json=form)).status_code == 401
    for table in (Token, Session, Password, LinkedIdentity):
        assert not await db.scalar(select(table).where(table.user_id == user.id))
    await db.refresh(user)
    assert (user.name, email in user.email) == ("Deleted user", False)
    await client.post("/api/users", json=form | {"name": "Ada"})
    assert (await mailbox.one())["subject"] == "Confirm your e-mail address for Acme"
