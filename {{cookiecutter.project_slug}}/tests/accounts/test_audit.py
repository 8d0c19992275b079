"""The audit trail, and the signed cookie of known devices."""

import pytest
from saaskit.web import ClientInfo
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.accounts import audit
from app.accounts import browser as devices
from app.accounts.browser import Device
from tests.factories import add_user, sign_in

CLIENT = ClientInfo("10.0.0.1", "Firefox", None)


@pytest.mark.parametrize(
    "statement", ["UPDATE events SET kind = 'x'", "DELETE FROM events", "TRUNCATE events"]
)
@pytest.mark.requirement("TENANT-9")
async def test_events_are_append_only(db, statement):
    """Even for the owner of the table, and even after it grants the rights to itself."""
    await audit.record(db, "test", CLIENT, None)
    owner = await db.scalar(text("SELECT tableowner FROM pg_tables WHERE tablename = 'events'"))
    assert owner == await db.scalar(text("SELECT current_user"))
    with pytest.raises(DBAPIError, match=r"permission denied|append-only"):
        async with db.begin_nested():
            await db.execute(text(statement))
    await db.execute(text("GRANT ALL ON events TO CURRENT_USER"))
    with pytest.raises(DBAPIError, match="append-only"):
        async with db.begin_nested():
            await db.execute(text(statement))


@pytest.mark.requirement("TENANT-9")
async def test_an_operator_can_remove_old_events(db):
    """With the statements of docs/reference/accounts.md, which grant the rights and revoke them."""
    for _ in range(2):
        await audit.record(db, "test", CLIENT, None)
    newest = await db.scalar(text("SELECT max(id) FROM events"))
    for statement in (
        "GRANT UPDATE, DELETE ON events TO CURRENT_USER",
        "ALTER TABLE events DISABLE TRIGGER append_only",
        f"DELETE FROM events WHERE id < {newest}",
        "UPDATE events SET address = '', user_agent = ''",
        "ALTER TABLE events ENABLE TRIGGER append_only",
        "REVOKE UPDATE, DELETE ON events FROM CURRENT_USER",
    ):
        await db.execute(text(statement))
    remaining = (await db.execute(text("SELECT id, address, user_agent FROM events"))).all()
    assert remaining == [(newest, "", "")]
    with pytest.raises(DBAPIError, match="permission denied"):
        async with db.begin_nested():
            await db.execute(text("DELETE FROM events"))


async def test_users_see_their_own_events_in_pages(signed_in_client, other, user, db):
    await signed_in_client.patch("/api/me", json={"name": "Ada King"})
    other.cookies = await sign_in(db, await add_user(db))
    await other.patch("/api/me", json={"name": "Bob"})
    items = (await signed_in_client.get("/api/me/events")).json()["items"]
    assert [item["kind"] for item in items] == ["user.changed", "session.started"]
    assert {"at", "address", "user_agent"} < set(items[0])
    params = {"limit": 1, "cursor": items[0]["id"]}
    older = (await signed_in_client.get("/api/me/events", params=params)).json()["items"]
    assert [item["id"] for item in older] == [items[1]["id"]]


def test_a_device_cookie_expires(settings, monkeypatch):
    cookie = Device(None, settings).cookie_with(7, 0)
    monkeypatch.setattr(devices, "DEVICE_MAX_AGE", -1)
    assert not Device(cookie, settings).knows(7, 0)
