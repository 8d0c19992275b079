"""ACCT: addresses changed, accounts deleted."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from app.core import cookies
from app.models.sessions import Session
from app.models.tokens import Token
from app.models.users import User
from app.services import tokens, users
from tests.accounts.conftest import token_in
from tests.factories import add_user, new_email, signed_in


async def ask_email(member, email: str):
    return await member.put("/api/me/email", json={"email": email})


@pytest.mark.parametrize("tail", ["/x.css", "%2fx.js", ";.png", ".css", "/..%2fx.css", "%00.css"])
async def test_proxy_10_no_page_of_mine_looks_like_a_file(member, tail: str):
    """A cache before us that keeps what is named like a file finds nothing to keep."""
    assert (await member.get("/api/me")).status_code == 200
    answer = await member.get(f"/api/me{tail}")
    assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store")


async def test_ACCT_7_a_new_address_counts_when_its_mailbox_says_so(member, user, db, mailbox, events):
    old, new = user.email, new_email()
    assert (await ask_email(member, new)).status_code == 202
    message = await mailbox.one()
    assert message["to"] == new
    assert (await member.get("/api/me")).json()["email"] == old
    assert (await member.get(f"/api/me/email/confirmation?token={token_in(message)}")).json()["valid"]
    answer = await member.post("/api/me/email/confirmation", json={"token": token_in(message)})
    assert answer.status_code == 204
    assert (await member.get("/api/me")).json()["email"] == new
    told = await mailbox.one()
    assert (told["to"], told["subject"]) == (old, "Your e-mail address was changed")
    assert {"email.change_asked", "email.changed"} <= set(await events())


async def test_ACCT_7_a_second_change_does_not_end_the_first_way_back(member, user, client, db, mailbox):
    mine, ways = user.email, []
    for _ in range(2):
        await ask_email(member, new_email())
        await member.post("/api/me/email/confirmation", json={"token": await mailbox.token()})
        ways.append(await mailbox.token())
    assert (await client.post("/api/me/email/reversal", json={"token": ways[0]})).status_code == 204
    assert (await client.post("/api/me/email/reversal", json={"token": ways[1]})).status_code == 422
    await db.refresh(user)
    assert user.email == mine


async def test_ACCT_7_the_later_way_back_leaves_the_earlier_one(member, user, client, db, mailbox):
    mine, ways = user.email, []
    for _ in range(2):
        await ask_email(member, new_email())
        await member.post("/api/me/email/confirmation", json={"token": await mailbox.token()})
        ways.append(await mailbox.token())
    for way in reversed(ways):
        assert (await client.post("/api/me/email/reversal", json={"token": way})).status_code == 204
    await db.refresh(user)
    assert user.email == mine


async def test_ACCT_8_an_address_in_use_gets_the_same_answer(member, user, db, mailbox):
    taken = await add_user(db)
    answers = [await ask_email(member, email) for email in (taken.email, new_email())]
    assert len({(answer.status_code, answer.text) for answer in answers}) == 1
    mails = {recipients[0]: message["subject"] for recipients, message in await mailbox()}
    assert mails[taken.email] == "You already have an account"


async def test_ACCT_8_of_two_users_one_gets_the_address(member, user, db, mailbox, other):
    wanted, bob = new_email(), await add_user(db)
    other.cookies = await signed_in(db, bob)
    links = []
    for browser in (member, other):
        await ask_email(browser, wanted)
        links.append(await mailbox.token())
    statuses = [
        (await other.post("/api/me/email/confirmation", json={"token": t})).status_code for t in links
    ]
    assert statuses == [204, 422]
    owners = (await db.scalars(select(User.id).where(User.email == wanted))).all()
    assert owners == [user.id]


async def test_deletion_is_delayed_told_and_cancelled(member, user, other, db, mailbox, events):
    other.cookies = await signed_in(db, user)
    answer = await member.delete("/api/me")
    planned = datetime.fromisoformat(answer.json()["delete_at"])
    assert answer.status_code == 202
    assert abs(planned - datetime.now(UTC) - users.GRACE) < timedelta(minutes=1)
    assert (await other.get("/api/session")).status_code == 401
    assert (await mailbox.one())["subject"] == "Your account will be deleted"
    assert await users.erase_due(db) == 0
    assert (await member.delete("/api/me/deletion")).json()["delete_at"] is None
    assert (await mailbox.one())["subject"] == "Your account stays"
    assert {"user.deletion_planned", "user.deletion_cancelled"} <= set(await events())


async def test_a_name_is_changed(member, user):
    changed = await member.patch("/api/me", json={"name": "Ada King"})
    assert changed.json()["name"] == (await member.get("/api/me")).json()["name"] == "Ada King"
    for body in ({"name": ""}, {"email": "x@example.com"}, {"id": 1}, {"name": "a\r\nb"}):
        assert (await member.patch("/api/me", json=body)).status_code == 422


@pytest.mark.parametrize(
    "name", ["Robert'); DROP TABLE users;--", "' OR '1'='1", "%s %n {0.__class__} $1 :name", "\\x27 $(id)"]
)
async def test_INPUT_5_a_name_is_data_wherever_it_goes(member, user, name):
    """Through SQL, logs and JSON."""
    assert (await member.patch("/api/me", json={"name": name})).status_code == 200
    assert (await member.get("/api/me")).json()["name"] == name


async def test_what_expired_is_forgotten(member, user, db):
    await tokens.issue(db, "email", str(user.id), user_id=user.id)
    await db.execute(update(Token).values(expires_at=func.now() - timedelta(seconds=1)))
    await db.execute(update(Session).values(expires_at=func.now() - timedelta(seconds=1)))
    assert await tokens.forget_expired(db) == 2
    assert cookies.SESSION in member.cookies


async def test_ACCT_7_the_old_mailbox_takes_the_account_back(member, user, client, db, mailbox):
    """Everybody is out. What opened the account since then is gone: test_passwords.py, test_identities.py."""
    old = user.email
    await ask_email(member, new_email())
    await member.post("/api/me/email/confirmation", json={"token": await mailbox.token()})
    back = await mailbox.token()
    assert (await client.get(f"/api/me/email/reversal?token={back}")).json()["valid"]
    assert (await client.post("/api/me/email/reversal", json={"token": back})).status_code == 204
    assert (await member.get("/api/session")).status_code == 401
    await db.refresh(user)
    assert user.email == old


async def test_TENANT_10_SES_7_an_erased_account_leaves_no_person_and_no_way_in(member, user, db, mailbox):
    """What else it had is gone, too: test_passwords.py, test_identities.py."""
    await tokens.issue(db, "email", str(user.id), user_id=user.id)
    user.delete_at = datetime.now(UTC) - timedelta(seconds=1)
    email = user.email
    await db.commit()
    assert await users.erase_due(db) == 1
    await db.commit()
    assert (await mailbox.one())["subject"] == "Your account was deleted"
    assert (await member.get("/api/session")).status_code == 401
    for table in (Token, Session):
        assert not await db.scalar(select(table).where(table.user_id == user.id))
    await db.refresh(user)
    assert (user.name, email in user.email) == ("Deleted user", False)
