"""ACCT: addresses changed, accounts deleted."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from app.accounts import rate_limits, tokens, users
from app.accounts.models import Session, Token, User
from tests.accounts.conftest import token_in
from tests.factories import add_user, new_email, sign_in


async def ask_email(signed_in_client, email: str):
    return await signed_in_client.put("/api/me/email", json={"email": email})


@pytest.mark.parametrize("tail", ["/x.css", "%2fx.js", ";.png", ".css", "/..%2fx.css", "%00.css"])
@pytest.mark.requirement("PROXY-10")
async def test_no_page_of_mine_looks_like_a_file(signed_in_client, tail: str):
    """A cache before us that keeps what is named like a file finds nothing to keep."""
    assert (await signed_in_client.get("/api/me")).status_code == 200
    answer = await signed_in_client.get(f"/api/me{tail}")
    assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store")


@pytest.mark.requirement("ACCT-7")
async def test_a_new_address_counts_when_its_mailbox_says_so(signed_in_client, user, db, mailbox, events):
    old, new = user.email, new_email()
    assert (await ask_email(signed_in_client, new)).status_code == 202
    message = await mailbox.one()
    assert message["to"] == new
    assert (await signed_in_client.get("/api/me")).json()["email"] == old
    assert (await signed_in_client.get(f"/api/me/email/confirmation?token={token_in(message)}")).json()[
        "valid"
    ]
    answer = await signed_in_client.post("/api/me/email/confirmation", json={"token": token_in(message)})
    assert answer.status_code == 204
    assert (await signed_in_client.get("/api/me")).json()["email"] == new
    told = await mailbox.one()
    assert (told["to"], told["subject"]) == (old, "Your e-mail address for Acme was changed")
    assert {"email.change_asked", "email.changed"} <= set(await events())


@pytest.mark.requirement("ACCT-7")
async def test_a_second_change_does_not_end_the_first_way_back(signed_in_client, user, client, db, mailbox):
    mine, ways = user.email, []
    for _ in range(2):
        await ask_email(signed_in_client, new_email())
        await signed_in_client.post("/api/me/email/confirmation", json={"token": await mailbox.token()})
        ways.append(await mailbox.token())
    assert (await client.post("/api/me/email/reversal", json={"token": ways[0]})).status_code == 204
    assert (await client.post("/api/me/email/reversal", json={"token": ways[1]})).status_code == 422
    await db.refresh(user)
    assert user.email == mine


@pytest.mark.requirement("ACCT-7")
async def test_the_later_way_back_leaves_the_earlier_one(signed_in_client, user, client, db, mailbox):
    mine, ways = user.email, []
    for _ in range(2):
        await ask_email(signed_in_client, new_email())
        await signed_in_client.post("/api/me/email/confirmation", json={"token": await mailbox.token()})
        ways.append(await mailbox.token())
    for way in reversed(ways):
        assert (await client.post("/api/me/email/reversal", json={"token": way})).status_code == 204
    await db.refresh(user)
    assert user.email == mine


@pytest.mark.requirement("ACCT-7")
async def test_what_is_not_mailed_ends_no_link(signed_in_client, user, mailbox):
    wanted, links = new_email(), []
    for _ in range(rate_limits.MAILS.max_requests):
        await ask_email(signed_in_client, wanted)
        links.append(await mailbox.token())
    assert (await ask_email(signed_in_client, wanted)).status_code == 202
    assert await mailbox() == []
    link = {"token": links[-1]}
    assert (await signed_in_client.post("/api/me/email/confirmation", json=link)).status_code == 204


@pytest.mark.requirement("ACCT-8")
async def test_an_address_in_use_gets_the_same_answer(signed_in_client, user, db, mailbox):
    taken = await add_user(db)
    answers = [await ask_email(signed_in_client, email) for email in (taken.email, new_email())]
    assert len({(answer.status_code, answer.text) for answer in answers}) == 1
    mails = {recipients[0]: message["subject"] for recipients, message in await mailbox()}
    assert mails[taken.email] == "You already have an account at Acme"


@pytest.mark.requirement("ACCT-8")
async def test_of_two_users_one_gets_the_address(signed_in_client, user, db, mailbox, other):
    wanted, bob = new_email(), await add_user(db)
    other.cookies = await sign_in(db, bob)
    links = []
    for browser in (signed_in_client, other):
        await ask_email(browser, wanted)
        links.append(await mailbox.token())
    statuses = [
        (await browser.post("/api/me/email/confirmation", json={"token": token})).status_code
        for browser, token in zip((signed_in_client, other), links, strict=True)
    ]
    assert statuses == [204, 422]
    owners = (await db.scalars(select(User.id).where(User.email == wanted))).all()
    assert owners == [user.id]


@pytest.mark.requirement("ACCT-7", "SIGNUP-11")
async def test_only_who_asked_confirms_a_new_address(
    signed_in_client, user, client, other, db, mailbox, events
):
    """Mallory asks for Alice's address. Alice has the link, and presses the button, signed in or not."""
    mine, alice = user.email, await add_user(db)
    await ask_email(signed_in_client, new_email())
    link = {"token": await mailbox.token()}
    stranger = await other.post("/api/me/email/confirmation", json=link)
    assert stranger.status_code == 401
    other.cookies = await sign_in(db, alice)
    refused = await other.post("/api/me/email/confirmation", json=link)
    assert refused.json()["detail"] == "This link is no longer valid. Request a new one."
    assert refused.status_code == 422
    assert (await signed_in_client.get("/api/me")).json()["email"] == mine
    assert (await events())[-1] == "email.bad_token"
    assert (await signed_in_client.post("/api/me/email/confirmation", json=link)).status_code == 204


@pytest.mark.requirement("ACCT-7")
async def test_the_buttons_end_on_pages(signed_in_client, user, other, mailbox):
    browser, told = {"accept": "text/html"}, []
    await ask_email(signed_in_client, new_email())
    for path, client in (("confirmation", signed_in_client), ("reversal", other)):
        form = {"data": {"token": await mailbox.token()}, "headers": browser}
        for who in (other, client):
            answer = await who.post(f"/api/me/email/{path}", **form)
            assert answer.headers["content-type"].startswith("text/html")
            told.append((answer.status_code, "Done" in answer.text))
    assert told == [(401, False), (200, True), (200, True), (422, False)]


async def test_deletion_is_delayed_told_and_cancelled(signed_in_client, user, other, db, mailbox, events):
    other.cookies = await sign_in(db, user)
    answer = await signed_in_client.delete("/api/me")
    planned = datetime.fromisoformat(answer.json()["delete_at"])
    assert answer.status_code == 202
    assert abs(planned - datetime.now(UTC) - users.GRACE_PERIOD) < timedelta(minutes=1)
    assert (await other.get("/api/session")).status_code == 401
    assert (await mailbox.one())["subject"] == "Your Acme account will be deleted"
    assert await users.erase_due(db) == 0
    assert (await signed_in_client.delete("/api/me/deletion")).json()["delete_at"] is None
    assert (await mailbox.one())["subject"] == "Your Acme account will not be deleted"
    assert {"user.deletion_planned", "user.deletion_cancelled"} <= set(await events())


async def test_a_name_is_changed(signed_in_client, user):
    changed = await signed_in_client.patch("/api/me", json={"name": "Ada King"})
    assert changed.json()["name"] == (await signed_in_client.get("/api/me")).json()["name"] == "Ada King"
    for body in ({"name": ""}, {"email": "x@example.com"}, {"id": 1}, {"name": "a\r\nb"}):
        assert (await signed_in_client.patch("/api/me", json=body)).status_code == 422


@pytest.mark.parametrize(
    "name", ["Robert'); DROP TABLE users;--", "' OR '1'='1", "%s %n {0.__class__} $1 :name", "\\x27 $(id)"]
)
@pytest.mark.requirement("INPUT-5")
async def test_a_name_is_data_wherever_it_goes(signed_in_client, user, name):
    """Through SQL, logs and JSON."""
    assert (await signed_in_client.patch("/api/me", json={"name": name})).status_code == 200
    assert (await signed_in_client.get("/api/me")).json()["name"] == name


async def test_what_expired_is_forgotten(signed_in_client, user, db):
    await tokens.issue(db, "email", str(user.id), user_id=user.id)
    await db.execute(update(Token).values(expires_at=func.now() - timedelta(seconds=1)))
    await db.execute(update(Session).values(expires_at=func.now() - timedelta(seconds=1)))
    assert await users.delete_expired(db) == 2
    for table in (Token, Session):
        assert not await db.scalar(select(func.count()).select_from(table))


@pytest.mark.requirement("ACCT-7")
async def test_the_old_mailbox_takes_the_account_back(signed_in_client, user, client, db, mailbox):
    """Everybody is out. What opened the account since then is gone: test_passwords.py, test_identities.py."""
    old = user.email
    await ask_email(signed_in_client, new_email())
    await signed_in_client.post("/api/me/email/confirmation", json={"token": await mailbox.token()})
    back = await mailbox.token()
    assert (await client.get(f"/api/me/email/reversal?token={back}")).json()["valid"]
    assert (await client.post("/api/me/email/reversal", json={"token": back})).status_code == 204
    assert (await signed_in_client.get("/api/session")).status_code == 401
    await db.refresh(user)
    assert user.email == old


@pytest.mark.requirement("TENANT-10", "SES-7")
async def test_an_erased_account_leaves_no_person_and_no_way_in(signed_in_client, user, db, mailbox):
    """What else it had is gone, too: test_passwords.py, test_identities.py."""
    await tokens.issue(db, "email", str(user.id), user_id=user.id)
    user.delete_at = datetime.now(UTC) - timedelta(seconds=1)
    email = user.email
    await db.commit()
    assert await users.erase_due(db) == 1
    await db.commit()
    assert (await mailbox.one())["subject"] == "Your Acme account was deleted"
    assert (await signed_in_client.get("/api/session")).status_code == 401
    for table in (Token, Session):
        assert not await db.scalar(select(table).where(table.user_id == user.id))
    await db.refresh(user)
    assert (user.name, email in user.email) == ("Deleted user", False)
