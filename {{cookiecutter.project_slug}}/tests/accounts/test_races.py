"""What many do at once: real connections, a database of its own."""

import asyncio
from collections import Counter
from smtplib import SMTPServerDisconnected

import httpx2
import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import throttle as throttling
from app.core.client import Client
from app.core.db import create_engine, create_sessions
from app.core.identity.person import Person
from app.core.identity.providers import Providers
from app.core.jobs.kinds import handlers, kinds
from app.core.passwords import AT_ONCE as AT_ONCE_HASHED
from app.core.passwords import WAITING, hash_password
from app.core.throttle import Limit, Throttle
from app.core.work import Work
from app.jobs import notices as app_notices
from app.main import create_app
from app.models.identities import LinkedIdentity
from app.models.jobs import JobRow
from app.models.passwords import Password
from app.models.sessions import Session
from app.models.users import User
from app.services import identities, sessions, tokens
from app.setting_types import Provider
from tests.accounts.conftest import MailRun
from tests.factories import add_user, new_address, new_email, signed_in
from tests.passwords import PASSWORD, with_password

pytestmark = pytest.mark.slow

AT_ONCE = 12


def cookie(cookies: httpx2.Cookies) -> dict[str, str]:
    """Of one of several users who share a client."""
    return {"cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}


@pytest.fixture(scope="module")
def url(new_database) -> str:
    """Made outside of the event loop."""
    return new_database("races")


@pytest.fixture
async def racing(settings, url):
    """A client and sessions on connections of their own."""
    engine = create_engine(url, pool_size=10)
    app = create_app(settings)
    app.state.sessions = create_sessions(engine)
    transport = httpx2.ASGITransport(app, client=(new_address(), 1))
    async with httpx2.AsyncClient(
        transport=transport, base_url="https://test", headers={"origin": "https://test"}
    ) as client:
        yield client, app
    await app.state.throttle.close()
    await engine.dispose()


async def test_SIGNUP_13_parallel_confirmations_make_one_account(racing):
    client, app = racing
    email, hashed = new_email(), await hash_password(PASSWORD)
    async with app.state.sessions.begin() as db:
        token = await tokens.issue(db, "sign_up", email, email=email, name="Ada", hash=hashed)
    form = {"token": token, "password": PASSWORD}
    answers = await asyncio.gather(
        *(client.post("/api/users/confirmation", json=form) for _ in range(AT_ONCE))
    )
    assert Counter(answer.status_code for answer in answers) == {201: 1, 422: AT_ONCE - 1}


async def test_ACCT_2_parallel_resets_happen_once(racing):
    client, app = racing
    async with app.state.sessions() as db:
        user = await with_password(db)
        token = await tokens.issue(db, "reset", str(user.id), user_id=user.id)
        await db.commit()
    form = {"token": token, "password": "lamp orbit cactus velvet"}
    answers = await asyncio.gather(
        *(client.post("/api/password-reset/confirmation", json=form) for _ in range(AT_ONCE))
    )
    assert Counter(answer.status_code for answer in answers) == {204: 1, 422: AT_ONCE - 1}


async def test_ACCT_8_two_users_race_for_one_address(racing):
    client, app = racing
    wanted, links = new_email(), []
    async with app.state.sessions() as db:
        for _ in range(4):
            user = await add_user(db)
            token = await tokens.issue(db, "email", str(user.id), user_id=user.id, email=wanted)
            links.append({"json": {"token": token}, "headers": cookie(await signed_in(db, user))})
    answers = await asyncio.gather(*(client.post("/api/me/email/confirmation", **link) for link in links))
    assert Counter(answer.status_code for answer in answers) == {204: 1, 422: 3}


async def waits_for_a_lock(app, request: asyncio.Task) -> None:
    """Until the request cannot go on, or is over."""
    here = "datname = current_database() AND wait_event_type = 'Lock'"
    waiting = text(f"SELECT count(*) FROM pg_stat_activity WHERE {here}")
    async with app.state.sessions() as db:
        for _ in range(1000):
            if request.done() or await db.scalar(waiting):
                return
            await db.rollback()
            await asyncio.sleep(0.01)
    raise AssertionError("it neither waits nor ends")


@pytest.mark.parametrize("how", ["sign in", "change"])
async def test_ACCT_2_a_reset_outruns_what_was_let_in_by_the_old_password(racing, how):
    """The old password was right when it was looked at, and is reset before a session starts."""
    client, app = racing
    new = "lamp orbit cactus velvet"
    async with app.state.sessions() as db:
        user = await with_password(db)
        mine = cookie(await signed_in(db, user))
    if how == "sign in":
        form = {"email": user.email, "password": PASSWORD}
        sent = client.post("/api/session", json=form)
    else:
        sent = client.put("/api/me/password", json={"current": PASSWORD, "new": new}, headers=mine)
    hashed = await hash_password("another one entirely, orbit")
    async with app.state.sessions.begin() as db:
        reset = update(Password).where(Password.user_id == user.id)
        await db.execute(reset.values(hash=hashed, changed_at=func.now()))
        await sessions.end_all(db, user.id)
        request = asyncio.create_task(sent)
        await waits_for_a_lock(app, request)
    answer = await request
    assert answer.status_code == {"sign in": 401, "change": 422}[how]
    async with app.state.sessions() as db:
        assert not await db.scalar(select(func.count()).where(Session.user_id == user.id))
        assert await db.scalar(select(Password.hash).where(Password.user_id == user.id)) == hashed


async def test_SES_5_a_session_that_was_ended_changes_no_password(racing):
    client, app = racing
    async with app.state.sessions() as db:
        user = await with_password(db)
        mine = cookie(await signed_in(db, user))
    form = {"current": PASSWORD, "new": "lamp orbit cactus velvet"}
    async with app.state.sessions.begin() as db:
        locked = select(Password.hash).where(Password.user_id == user.id).with_for_update()
        hashed = await db.scalar(locked)
        request = asyncio.create_task(client.put("/api/me/password", json=form, headers=mine))
        await waits_for_a_lock(app, request)
        await sessions.end_all(db, user.id)
    assert (await request).status_code == 401
    async with app.state.sessions() as db:
        assert await db.scalar(select(Password.hash).where(Password.user_id == user.id)) == hashed


async def test_LOGIN_7_a_flood_of_sign_ins_is_bounded(racing):
    """More than the pool of hashes and its queue are told to come back; other routes answer meanwhile."""
    client, _ = racing
    form = {"password": "x" * 256}
    flood = [
        asyncio.create_task(client.post("/api/session", json=form | {"email": new_email()}))
        for _ in range(AT_ONCE_HASHED + WAITING + 20)
    ]
    health = await asyncio.wait_for(client.get("/api/health"), 10)
    statuses = Counter(answer.status_code for answer in await asyncio.gather(*flood))
    assert health.status_code == 200
    assert set(statuses) == {401, 503}
    assert statuses[401] >= AT_ONCE_HASHED + WAITING


async def test_AVAIL_8_a_slow_mail_server_holds_nobody_up(racing, settings, free_port, monkeypatch):
    """While a worker waits for it, the same address is asked for again."""
    client, app = racing
    called, over = asyncio.Event(), asyncio.Event()

    async def slow(reader, writer):
        called.set()
        await over.wait()
        writer.close()

    form = {"email": new_email(), "name": "Ada", "password": PASSWORD}
    assert (await client.post("/api/users", json=form)).status_code == 202
    configured = settings.model_copy(update={"smtp_url": f"smtp://127.0.0.1:{free_port}"})
    monkeypatch.setattr(app_notices, "get_settings", lambda: configured)
    server = await asyncio.start_server(slow, "127.0.0.1", free_port)
    async with server, app.state.sessions() as db:
        row = (await db.scalars(select(JobRow).order_by(JobRow.id.desc()))).first()
        job = kinds[row.kind].model_validate(row.payload)
        working = asyncio.create_task(handlers[row.kind](job, MailRun(row.id, db)))
        await asyncio.wait_for(called.wait(), 10)
        try:
            again = await asyncio.wait_for(client.post("/api/users", json=form), 5)
        finally:
            over.set()
            with pytest.raises(SMTPServerDisconnected):
                await working
    assert again.status_code == 202


async def test_LINK_6_parallel_first_sign_ins_make_one_account(racing, settings):
    _, app = racing
    known = settings.model_copy(
        update={"providers": {"acme": Provider(client_id="x", issuer="https://x.example")}}
    )
    work = Work(app.state.sessions, app.state.throttle, Providers(known), known, Client("10.0.0.1", "", None))
    person = Person("https://x.example", "1", new_email(), "Ada", {})

    async def first() -> int:
        async with work.transaction() as db:
            owner = await identities._owner(db, person)
            return (owner or await identities._newcomer(db, work, "acme", person)).id

    ids = await asyncio.gather(*(first() for _ in range(AT_ONCE)))
    assert len(set(ids)) == 1
    async with app.state.sessions() as db:
        assert isinstance(db, AsyncSession)
        assert await db.scalar(select(func.count()).select_from(LinkedIdentity)) == 1
        assert await db.scalar(select(func.count()).where(User.email == person.email)) == 1


async def test_LOGIN_4_parallel_tries_are_counted_exactly(settings, monkeypatch):
    monkeypatch.setattr(throttling, "SECONDS", 10)  # fifty connections at once may take their time here
    throttle, key = Throttle(settings.redis_url), new_email()
    allowed = await asyncio.gather(*(throttle.allows(Limit("race", 10, 60), key) for _ in range(50)))
    assert sum(allowed) == 10
    await throttle.close()
