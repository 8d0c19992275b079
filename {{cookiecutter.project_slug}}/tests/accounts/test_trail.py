"""The audit trail, keys, settings, and who is believed about the client."""

import asyncio
import hmac
from base64 import urlsafe_b64decode

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.core import devices
from app.core.application import Application
from app.core.client import Client, client_of
from app.core.deadline import BodyDeadline
from app.core.devices import Device
from app.core.secrets import signer
from app.services import events as trail
from app.setting_types import Provider
from app.settings import Settings
from app.unsafe import DEVELOPMENT_KEY, unsafe
from tests.factories import add_user, signed_in

CHANGES = ["UPDATE events SET kind = 'x'", "DELETE FROM events", "TRUNCATE events"]


@pytest.mark.parametrize("statement", CHANGES)
async def test_TENANT_9_events_are_append_only(db, statement):
    await trail.record(db, "test", Client("10.0.0.1", "Firefox", None), None)
    await db.commit()
    owned = await db.scalar(text("SELECT tableowner FROM pg_tables WHERE tablename = 'events'"))
    assert owned == await db.scalar(text("SELECT current_user"))  # even its owner is refused
    with pytest.raises(DBAPIError, match=r"permission denied|append-only"):
        async with db.begin_nested():
            await db.execute(text(statement))


@pytest.mark.parametrize("statement", CHANGES)
async def test_TENANT_9_a_right_granted_again_does_not_help(db, statement):
    await trail.record(db, "test", Client("10.0.0.1", "Firefox", None), None)
    await db.execute(text("GRANT ALL ON events TO CURRENT_USER"))
    with pytest.raises(DBAPIError, match="append-only"):
        async with db.begin_nested():
            await db.execute(text(statement))


async def test_TENANT_9_the_owner_of_the_table_removes_what_is_old(db):
    """The statements of the reference: with the rights to grant them, and never by accident."""
    for _ in range(2):
        await trail.record(db, "test", Client("10.0.0.1", "Firefox", None), None)
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


async def test_the_user_sees_the_own_trail_page_by_page(member, other, user, db):
    await member.patch("/api/me", json={"name": "Ada King"})
    other.cookies = await signed_in(db, await add_user(db))
    await other.patch("/api/me", json={"name": "Bob"})
    items = (await member.get("/api/me/events")).json()["items"]
    assert [item["kind"] for item in items] == ["user.changed", "session.started"]
    assert {"at", "address", "user_agent"} < set(items[0])
    older = (await member.get("/api/me/events", params={"limit": 1, "before": items[0]["id"]})).json()[
        "items"
    ]
    assert [item["id"] for item in older] == [items[1]["id"]]


def test_OPS_4_signing_keys_rotate(settings):
    old, new = (SecretStr("a" * 32), SecretStr("b" * 32 + "," + "a" * 32))
    cookie = Device(None, settings.model_copy(update={"signing_keys": old})).with_user(7, 0)
    rotated = settings.model_copy(update={"signing_keys": new})
    assert Device(cookie, rotated).knows(7, 0)
    newer = Device(cookie, rotated).with_user(7, 0)
    gone = settings.model_copy(update={"signing_keys": SecretStr("b" * 32)})
    assert Device(newer, gone).knows(7, 0) and not Device(cookie, gone).knows(7, 0)


def test_a_device_is_forgotten_after_its_time(settings, monkeypatch):
    cookie = Device(None, settings).with_user(7, 0)
    monkeypatch.setattr(devices, "SECONDS", -1)
    assert not Device(cookie, settings).knows(7, 0)


def test_what_is_signed_is_signed_with_sha_256(settings):
    """Not with the SHA-1 that the library would take: for the signature and for the key."""
    signed = signer(settings, "device").dumps([7]).encode()
    value, _, signature = signed.rpartition(b".")
    keys = settings.signing_keyring
    derived = hmac.digest(keys[0].encode(), b"device", "sha256")
    assert urlsafe_b64decode(signature + b"=") == hmac.digest(derived, value, "sha256")


def test_OPS_5_settings_show_no_secret():
    provider = Provider(client_id="app", client_secret=SecretStr("hunter2"))
    settings = Settings(
        signing_keys=SecretStr("hunter2"),
        encryption_keys=SecretStr("hunter2"),
        providers={"x": provider},
    )
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_production_lists_everything_that_is_unsafe():
    settings = Settings(
        environment="production",
        allowed_hosts="*",
        public_url="http://example.com",
        trusted_proxies="0.0.0.0/0",
        signing_keys=SecretStr("short"),
        encryption_keys=SecretStr(DEVELOPMENT_KEY),
        local_provider="http://127.0.0.1:9400",
        log_level="debug",
        providers={"acme": Provider(client_id="x", issuer="http://id.example")},
        database_url="",
        redis_url="",
    )
    names = [problem.partition(":")[0] for problem in unsafe(settings)]
    assert names == [
        "DATABASE_URL",
        "REDIS_URL",
        "ALLOWED_HOSTS",
        "PUBLIC_URL",
        "TRUSTED_PROXIES",
        "SIGNING_KEYS",
        "ENCRYPTION_KEYS",
        "LOCAL_PROVIDER",
        "LOG_LEVEL",
        "PROVIDERS__ACME__ISSUER",
    ]


async def seen_by(settings: Settings, peer: str, headers: dict[str, str]) -> tuple[str, str]:
    """Address and scheme, as a handler sees them."""
    from starlette.requests import Request

    from app.main import create_app

    app = create_app(settings)
    seen = []

    @app.get("/seen")
    async def handler(request: Request) -> None:
        seen.append((client_of(request).address, request.url.scheme))

    assert isinstance(app, Application)
    transport = httpx2.ASGITransport(app, client=(peer, 1))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        await client.get("/seen", headers=headers)
    return seen[0]


async def test_HTTP_5_HTTP_6_only_named_proxies_are_believed(settings):
    behind = settings.model_copy(update={"trusted_proxies": "10.0.0.0/8,192.0.2.1"})
    said = {"x-forwarded-for": "6.6.6.6, 198.51.100.7, 10.1.1.1", "x-forwarded-proto": "https"}
    assert await seen_by(behind, "10.9.9.9", said) == ("198.51.100.7", "https")
    assert await seen_by(behind, "203.0.113.5", said) == ("203.0.113.5", "http")
    assert await seen_by(settings, "127.0.0.1", said) == ("127.0.0.1", "http")
    assert await seen_by(behind, "10.9.9.9", {"x-forwarded-for": "<script>"}) == ("<script>", "http")
    assert Client("<script>", "", None).network == "unknown"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("", "unknown"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_LOGIN_4_networks(address, network):
    assert Client(address, "", None).network == network


async def test_AVAIL_1_a_dripping_body_is_408(app):
    """One byte a moment, for ever."""
    deadline = BodyDeadline(app, seconds=0.3)

    async def drip():
        for byte in b'{"email": "a@example.com"}' * 100:
            yield bytes([byte])
            await asyncio.sleep(0.05)

    kind = {"content-type": "application/json"}
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(deadline), base_url="https://test"
    ) as client:
        answer = await client.post("/api/me/email/reversal", content=_Slow(drip()), headers=kind)
    assert answer.status_code == 408


class _Slow(httpx2.AsyncByteStream):
    def __init__(self, chunks) -> None:
        self.chunks = chunks

    async def __aiter__(self):
        async for chunk in self.chunks:
            yield chunk


async def test_SES_7_a_stream_ends_for_who_is_not_signed_in(client):
    assert (await client.get("/api/jobs/01a208de-1c71-70db-a176-a01ce0abd21c/events")).status_code == 401
