"""ACCT: passwords forgotten and changed, addresses changed, accounts deleted."""

from datetime import UTC, datetime, timedelta

import pytest
from httpx2 import AsyncClient
from sqlalchemy import func, select, text, update

from app.core import cookies
from app.models.identities import LinkedIdentity
from app.models.sessions import Session
from app.models.tokens import Token
from app.models.users import Password, User
from app.services import limits, tokens, users
from tests.accounts.conftest import token_in
from tests.factories import PASSWORD, add_user, new_address, new_email, signed_in

NEW = "lamp orbit cactus velvet"


async def sign_in(client: AsyncClient, email: str, password: str) -> int:
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
async def test_ACCT_1_HTTP_5_links_are_built_from_the_configured_origin(client, db, mailbox, headers):
    user = await add_user(db, password=PASSWORD)
    await forgot(client, user.email, headers=headers)
    mails = await mailbox()
    assert len(mails) == 1
    page = mails[0][1].as_string()
    assert "evil" not in page and "https://test/api/password-reset/confirmation" in page.replace("=\n", "")


async def test_ACCT_2_a_link_resets_once(client, db, mailbox):
    user = await add_user(db, password=PASSWORD)
    await forgot(client, user.email)
    token = await mailbox.token()
    assert await reset(client, token) == 204
    assert await reset(client, token, "another one entirely, orbit") == 422
    assert await sign_in(client, user.email, NEW) == 204


async def test_ACCT_2_only_the_newest_link_works(client, db, mailbox):
    user = await add_user(db, password=PASSWORD)
    links = []
    for _ in range(2):
        await forgot(client, user.email)
        links.append(await mailbox.token())
    assert [await reset(client, link) for link in links] == [422, 204]


async def test_ACCT_2_a_changed_password_ends_links(client, member, user, db, mailbox):
    db.add(Password(user_id=user.id, hash=await _hash(PASSWORD)))
    await db.commit()
    await forgot(client, user.email)
    token = await mailbox.token()
    assert (await member.put("/api/me/password", json={"current": PASSWORD, "new": NEW})).status_code == 204
    assert await reset(client, token) == 422


async def _hash(password: str) -> str:
    from app.core.passwords import hash_password

    return await hash_password(password)


async def test_ACCT_2_an_expired_link_is_refused(client, db, mailbox):
    user = await add_user(db, password=PASSWORD)
    await forgot(client, user.email)
    token = await mailbox.token()
    await db.execute(update(Token).values(expires_at=func.now() - timedelta(seconds=1)))
    await db.commit()
    assert await reset(client, token) == 422


async def test_ACCT_2_a_weak_password_leaves_the_link(client, db, mailbox):
    user = await add_user(db, password=PASSWORD)
    await forgot(client, user.email)
    token = await mailbox.token()
    assert await reset(client, token, "aaaaaaaaaaaaaaaa") == 422
    assert await reset(client, token) == 204


async def test_ACCT_3_a_reset_ends_all_sessions_and_starts_none(client, member, user, db, mailbox):
    await forgot(client, user.email)
    token = await mailbox.token()
    answer = await client.post("/api/password-reset/confirmation", json={"token": token, "password": NEW})
    assert (answer.status_code, answer.headers.get("set-cookie")) == (204, None)
    assert (await member.get("/api/session")).status_code == 401
    assert (await mailbox.one())["subject"] == "Your password was changed"


async def test_ACCT_4_the_page_leaks_no_token(client, db, mailbox, caplog):
    user = await add_user(db, password=PASSWORD)
    await forgot(client, user.email)
    token = await mailbox.token()
    path = f"/api/password-reset/confirmation?token={token}"
    page = await client.get(path, headers={"accept": "text/html"})
    assert (page.headers["referrer-policy"], page.headers["cache-control"]) == ("no-referrer", "no-store")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "src=" not in page.text and "http" not in page.text.split("<body>")[1]
    logged = " ".join(r.getMessage() for r in caplog.records if r.name.startswith("app"))
    assert "/api/password-reset/confirmation" in logged and token not in logged


@pytest.mark.parametrize(
    "token", ["", "null", "0", "x" * 101, "x" * 500_000, "\x00", "ä", "../x"], ids=lambda t: t[:9]
)
async def test_ACCT_5_odd_tokens_get_the_same_refusal(client, token):
    assert await reset(client, token) == 422
    assert (
        await client.get("/api/password-reset/confirmation", params={"token": token[:3000]})
    ).status_code in (200, 422)


async def test_ACCT_5_tokens_have_one_purpose_and_one_spelling(client, db, mailbox):
    user = await add_user(db, password=PASSWORD)
    await forgot(client, user.email)
    token = await mailbox.token()
    for path in ("/api/me/email/confirmation", "/api/me/email/reversal"):
        assert (await client.post(path, json={"token": token})).status_code == 422
    confirm = {"token": token, "password": PASSWORD}
    assert (await client.post("/api/users/confirmation", json=confirm)).status_code == 422
    assert await reset(client, token.swapcase()) == 422
    assert await reset(client, token) == 204


async def test_ACCT_5_guessing_is_limited(client):
    statuses = {await reset(client, f"guess-{number}") for number in range(limits.CLIENT.most + 1)}
    assert statuses == {422, 429}


async def test_ACCT_5_only_hashes_are_stored(client, db, mailbox):
    user = await add_user(db, password=PASSWORD)
    await forgot(client, user.email)
    jobs = str((await db.execute(text("SELECT * FROM jobs"))).all())
    token = await mailbox.token()
    rows = str((await db.execute(text("SELECT * FROM tokens"))).all())
    assert token not in rows and token not in jobs


async def test_ACCT_6_forgot_tells_nobody_who_is_known(client, db, mailbox, queries):
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


async def ask_email(member, email: str):
    return await member.put("/api/me/email", json={"email": email})


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


async def test_ACCT_7_the_old_mailbox_takes_the_account_back(member, user, client, db, mailbox):
    """Everybody is out, what opened the account since then is gone, a new password can be chosen."""
    db.add(Password(user_id=user.id, hash=await _hash(PASSWORD)))
    old, new = user.email, new_email()
    await ask_email(member, new)
    await member.post("/api/me/email/confirmation", json={"token": await mailbox.token()})
    back = await mailbox.token()
    db.add(
        LinkedIdentity(
            user_id=user.id,
            provider="x",
            issuer="https://x.example",
            subject="1",
            linked_at=datetime.now(UTC),
        )
    )
    await db.commit()
    assert (await client.get(f"/api/me/email/reversal?token={back}")).json()["valid"]
    assert (await client.post("/api/me/email/reversal", json={"token": back})).status_code == 204
    assert (await member.get("/api/session")).status_code == 401
    assert await sign_in(client, old, PASSWORD) == 401
    assert not await db.scalar(select(LinkedIdentity).where(LinkedIdentity.user_id == user.id))
    message = await mailbox.one()
    assert (message["to"], message["subject"]) == (old, "Choose a new password")
    assert await reset(client, token_in(message)) == 204
    assert await sign_in(client, old, NEW) == 204


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


async def test_ACCT_9_a_changed_password_needs_the_current_one(member, user, db, events):
    db.add(Password(user_id=user.id, hash=await _hash(PASSWORD)))
    await db.commit()
    for body in ({"new": NEW}, {"current": "", "new": NEW}, {"current": "wrong wrong wrong", "new": NEW}):
        assert (await member.put("/api/me/password", json=body)).status_code == 422
    assert (await events())[-1] == "password.refused"
    guess = {"current": "wrong wrong wrong", "new": NEW}
    statuses = [
        (await member.put("/api/me/password", json=guess)).status_code
        for _ in range(limits.CLIENT_ACCOUNT.most)
    ]
    assert statuses[-1] == 429
    member._transport.client = (new_address(), 1)
    assert (await member.put("/api/me/password", json={"current": PASSWORD, "new": NEW})).status_code == 204


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


async def test_TENANT_10_SES_7_an_erased_account_leaves_no_person_and_no_way_in(
    member, user, client, db, mailbox
):
    db.add(Password(user_id=user.id, hash=await _hash(PASSWORD)))
    db.add(LinkedIdentity(user_id=user.id, provider="x", issuer="https://x.example", subject="1"))
    await tokens.issue(db, "reset", str(user.id), user_id=user.id)
    user.delete_at = datetime.now(UTC) - timedelta(seconds=1)
    email = user.email
    await db.commit()
    assert await users.erase_due(db) == 1
    await db.commit()
    assert (await mailbox.one())["subject"] == "Your account was deleted"
    assert (await member.get("/api/session")).status_code == 401
    assert await sign_in(client, email, PASSWORD) == 401
    for table in (Password, LinkedIdentity, Token, Session):
        assert not await db.scalar(select(table).where(table.user_id == user.id))
    await db.refresh(user)
    assert (user.name, email in user.email) == ("Deleted user", False)
    await client.post("/api/users", json={"email": email, "name": "Ada", "password": PASSWORD})
    assert (await mailbox.one())["subject"] == "Confirm your e-mail address"


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
    await tokens.issue(db, "reset", str(user.id), user_id=user.id)
    await db.execute(update(Token).values(expires_at=func.now() - timedelta(seconds=1)))
    await db.execute(update(Session).values(expires_at=func.now() - timedelta(seconds=1)))
    assert await tokens.forget_expired(db) == 2
    assert cookies.SESSION in member.cookies
