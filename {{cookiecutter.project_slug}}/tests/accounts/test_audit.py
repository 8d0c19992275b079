"""The audit trail, keys, settings, and who is believed about the client."""

import hmac
from base64 import urlsafe_b64decode

import pytest
from pydantic import SecretStr
from saaskit.security import signer
from saaskit.web import ClientInfo
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.accounts import audit
from app.accounts import browser as devices
from app.accounts.browser import Device
from tests.factories import add_user, sign_in

CHANGES = ["UPDATE events SET kind = 'x'", "DELETE FROM events", "TRUNCATE events"]


@pytest.mark.parametrize("statement", CHANGES)
@pytest.mark.requirement("TENANT-9")
async def test_events_are_append_only(db, statement):
    await audit.record(db, "test", ClientInfo("10.0.0.1", "Firefox", None), None)
    await db.commit()
    owned = await db.scalar(text("SELECT tableowner FROM pg_tables WHERE tablename = 'events'"))
    assert owned == await db.scalar(text("SELECT current_user"))  # even its owner is refused
    with pytest.raises(DBAPIError, match=r"permission denied|append-only"):
        async with db.begin_nested():
            await db.execute(text(statement))


@pytest.mark.parametrize("statement", CHANGES)
@pytest.mark.requirement("TENANT-9")
async def test_a_right_granted_again_does_not_help(db, statement):
    await audit.record(db, "test", ClientInfo("10.0.0.1", "Firefox", None), None)
    await db.execute(text("GRANT ALL ON events TO CURRENT_USER"))
    with pytest.raises(DBAPIError, match="append-only"):
        async with db.begin_nested():
            await db.execute(text(statement))


@pytest.mark.requirement("TENANT-9")
async def test_the_owner_of_the_table_removes_what_is_old(db):
    """The statements of the reference: with the rights to grant them, and never by accident."""
    for _ in range(2):
        await audit.record(db, "test", ClientInfo("10.0.0.1", "Firefox", None), None)
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
    left = (await db.execute(text("SELECT id, address, user_agent FROM events"))).all()
    assert left == [(newest, "", "")]
    with pytest.raises(DBAPIError, match="permission denied"):
        async with db.begin_nested():
            await db.execute(text("DELETE FROM events"))


async def test_the_user_sees_the_own_trail_page_by_page(signed_in_client, other, user, db):
    await signed_in_client.patch("/api/me", json={"name": "Ada King"})
    other.cookies = await sign_in(db, await add_user(db))
    await other.patch("/api/me", json={"name": "Bob"})
    items = (await signed_in_client.get("/api/me/events")).json()["items"]
    assert [item["kind"] for item in items] == ["user.changed", "session.started"]
    assert {"at", "address", "user_agent"} < set(items[0])
    older = (
        await signed_in_client.get("/api/me/events", params={"limit": 1, "cursor": items[0]["id"]})
    ).json()["items"]
    assert [item["id"] for item in older] == [items[1]["id"]]


@pytest.mark.requirement("OPS-4")
def test_signing_keys_rotate(settings):
    old, new = SecretStr("a" * 32), SecretStr("b" * 32)
    cookie = Device(None, settings.model_copy(update={"signing_keys": [old]})).cookie_with(7, 0)
    rotated = settings.model_copy(update={"signing_keys": [new, old]})
    assert Device(cookie, rotated).knows(7, 0)
    newer = Device(cookie, rotated).cookie_with(7, 0)
    without_old = settings.model_copy(update={"signing_keys": [new]})
    assert Device(newer, without_old).knows(7, 0) and not Device(cookie, without_old).knows(7, 0)


def test_a_device_is_forgotten_after_its_time(settings, monkeypatch):
    cookie = Device(None, settings).cookie_with(7, 0)
    monkeypatch.setattr(devices, "DEVICE_MAX_AGE", -1)
    assert not Device(cookie, settings).knows(7, 0)


def test_what_is_signed_is_signed_with_sha_256(settings):
    """Not with the SHA-1 that the library would take: for the signature and for the key."""
    signed = signer(settings.signing_keys, "device").dumps([7]).encode()
    value, _, signature = signed.rpartition(b".")
    keys = settings.signing_keys
    derived = hmac.digest(keys[0].get_secret_value().encode(), b"device", "sha256")
    assert urlsafe_b64decode(signature + b"=") == hmac.digest(derived, value, "sha256")
