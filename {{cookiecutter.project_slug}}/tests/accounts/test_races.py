"""Concurrent requests, on real connections to a database of their own."""

import asyncio
import itertools
import threading
from collections import Counter
from collections.abc import AsyncIterator
from smtplib import SMTPServerDisconnected

import httpx2
import pytest
from saaskit.db import Sessionmaker, create_engine, create_sessionmaker
from saaskit.jobs import JobRecord
from saaskit.security import MAX_RUNNING, MAX_WAITING, hash_password, hasher
from sqlalchemy import func, select, text, update

from app.accounts import sessions, tokens
from app.accounts.models import Password, Session
from app.main import create_app
from app.settings import Settings
from tests.accounts.conftest import run_job
from tests.conftest import ORIGIN
from tests.factories import PASSWORD, add_user, new_email, new_ip, sign_in

pytestmark = pytest.mark.slow

COUNT = 12


def cookie_header(cookies: httpx2.Cookies) -> dict[str, str]:
    """The cookies of one of several users who share a client."""
    return {"cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}


@pytest.fixture(scope="module")
def url(new_database) -> str:
    return new_database("races")


@pytest.fixture
async def racing(settings: Settings, url: str) -> AsyncIterator[tuple[httpx2.AsyncClient, Sessionmaker]]:
    """A client of an application with its own lifespan, and a sessionmaker for its database."""
    app = create_app(settings.model_copy(update={"database_url": url}))
    engine = create_engine(url, pool_size=5)
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope, receive, send) -> None:
            scope["state"] = dict(state or {})
            await app(scope, receive, send)

        transport = httpx2.ASGITransport(with_state, client=(new_ip(), 1))
        headers = {"origin": ORIGIN}
        async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers) as client:
            yield client, create_sessionmaker(engine)
    await engine.dispose()


@pytest.mark.requirement("SIGNUP-13")
async def test_concurrent_confirmations_create_one_account(racing):
    client, sessionmaker = racing
    email, password_hash = new_email(), await hash_password(PASSWORD)
    async with sessionmaker.begin() as db:
        token = await tokens.issue(db, "sign_up", email, email=email, name="Ada", hash=password_hash)
    form = {"token": token, "password": PASSWORD}
    responses = await asyncio.gather(
        *(client.post("/api/users/confirmation", json=form) for _ in range(COUNT))
    )
    assert Counter(response.status_code for response in responses) == {201: 1, 422: COUNT - 1}


@pytest.mark.requirement("ACCT-2")
async def test_concurrent_resets_happen_once(racing):
    client, sessionmaker = racing
    async with sessionmaker() as db:
        user = await add_user(db, password=PASSWORD)
        token = await tokens.issue(db, "reset", str(user.id), user_id=user.id)
        await db.commit()
    form = {"token": token, "password": "lamp orbit cactus velvet"}
    responses = await asyncio.gather(
        *(client.post("/api/password-reset/confirmation", json=form) for _ in range(COUNT))
    )
    assert Counter(response.status_code for response in responses) == {204: 1, 422: COUNT - 1}


@pytest.mark.requirement("ACCT-8")
async def test_of_concurrent_users_one_gets_the_address(racing):
    client, sessionmaker = racing
    wanted, requests = new_email(), []
    async with sessionmaker() as db:
        for _ in range(4):
            user = await add_user(db)
            token = await tokens.issue(db, "email", str(user.id), user_id=user.id, email=wanted)
            requests.append({"json": {"token": token}, "headers": cookie_header(await sign_in(db, user))})
    responses = await asyncio.gather(
        *(client.post("/api/me/email/confirmation", **request) for request in requests)
    )
    assert Counter(response.status_code for response in responses) == {204: 1, 422: 3}


async def wait_for_a_lock(sessionmaker: Sessionmaker, request: asyncio.Task) -> None:
    """Return when the request waits for a lock, or is done."""
    condition = "datname = current_database() AND wait_event_type = 'Lock'"
    waiting = text(f"SELECT count(*) FROM pg_stat_activity WHERE {condition}")
    async with sessionmaker() as db, asyncio.timeout(20):
        while not request.done() and not await db.scalar(waiting):
            await db.rollback()
            await asyncio.sleep(0.01)


@pytest.mark.requirement("ACCT-2")
@pytest.mark.parametrize(("request_kind", "status"), [("sign in", 401), ("change", 422)])
async def test_a_reset_wins_over_a_concurrent_use_of_the_old_password(racing, request_kind: str, status: int):
    """The old password was correct when it was verified, and is reset before a session starts."""
    client, sessionmaker = racing
    async with sessionmaker() as db:
        user = await add_user(db, password=PASSWORD)
        cookies = cookie_header(await sign_in(db, user))
    if request_kind == "sign in":
        sent = client.post("/api/session", json={"email": user.email, "password": PASSWORD})
    else:
        form = {"current": PASSWORD, "new": "lamp orbit cactus velvet"}
        sent = client.put("/api/me/password", json=form, headers=cookies)
    password_hash = await hash_password("another one entirely, orbit")
    async with sessionmaker.begin() as db:
        reset = update(Password).where(Password.user_id == user.id)
        await db.execute(reset.values(hash=password_hash, changed_at=func.now()))
        await sessions.end_all(db, user.id)
        request = asyncio.create_task(sent)
        await wait_for_a_lock(sessionmaker, request)
    assert (await request).status_code == status
    async with sessionmaker() as db:
        assert not await db.scalar(select(func.count()).where(Session.user_id == user.id))
        assert await db.scalar(select(Password.hash).where(Password.user_id == user.id)) == password_hash


@pytest.mark.requirement("SES-5")
async def test_a_session_that_has_ended_cannot_change_the_password(racing):
    client, sessionmaker = racing
    async with sessionmaker() as db:
        user = await add_user(db, password=PASSWORD)
        cookies = cookie_header(await sign_in(db, user))
    form = {"current": PASSWORD, "new": "lamp orbit cactus velvet"}
    async with sessionmaker.begin() as db:
        locked = select(Password.hash).where(Password.user_id == user.id).with_for_update()
        password_hash = await db.scalar(locked)
        request = asyncio.create_task(client.put("/api/me/password", json=form, headers=cookies))
        await wait_for_a_lock(sessionmaker, request)
        await sessions.end_all(db, user.id)
    assert (await request).status_code == 401
    async with sessionmaker() as db:
        assert await db.scalar(select(Password.hash).where(Password.user_id == user.id)) == password_hash


@pytest.mark.requirement("LOGIN-7")
async def test_a_flood_of_sign_ins_is_bounded(racing, monkeypatch: pytest.MonkeyPatch):
    """Sign-ins beyond the pool of hashes and its queue are refused; other routes respond meanwhile."""
    client, _ = racing
    finished = threading.Event()

    def verify_slowly(password: str, stored: str) -> tuple[bool, None]:
        assert finished.wait(60)
        return False, None

    monkeypatch.setattr(hasher(), "verify_and_update", verify_slowly)
    count = MAX_RUNNING + MAX_WAITING
    forms = [{"email": new_email(), "password": PASSWORD} for _ in range(count + 20)]
    flood = [asyncio.create_task(client.post("/api/session", json=form)) for form in forms]
    try:
        refused = [await task for task in itertools.islice(asyncio.as_completed(flood, timeout=30), 20)]
        assert {response.status_code for response in refused} == {503}
        assert (await client.get("/api/health")).status_code == 200
    finally:
        finished.set()
    statuses = Counter(response.status_code for response in await asyncio.gather(*flood))
    assert statuses == {401: count, 503: 20}


@pytest.mark.requirement("AVAIL-8")
async def test_a_slow_mail_server_blocks_no_request(racing, settings: Settings, free_port: int):
    """While a worker waits for it, the same address signs up once more."""
    client, sessionmaker = racing
    connected, finished = asyncio.Event(), asyncio.Event()

    async def respond_late(reader, writer):
        connected.set()
        await finished.wait()
        writer.close()

    form = {"email": new_email(), "name": "Ada", "password": PASSWORD}
    assert (await client.post("/api/users", json=form)).status_code == 202
    settings = settings.model_copy(update={"smtp_url": f"smtp://127.0.0.1:{free_port}"})
    server = await asyncio.start_server(respond_late, "127.0.0.1", free_port)
    async with server, sessionmaker() as db:
        row = (await db.scalars(select(JobRecord).order_by(JobRecord.id.desc()))).first()
        assert row
        sending = asyncio.create_task(run_job(db, settings, row))
        await asyncio.wait_for(connected.wait(), 20)
        try:
            second = await asyncio.wait_for(client.post("/api/users", json=form), 20)
        finally:
            finished.set()
            with pytest.raises(SMTPServerDisconnected):
                await sending
    assert second.status_code == 202
