"""What many do at once: real connections, a database of its own."""

import asyncio
from collections import Counter

import httpx2
import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import throttle as throttling
from app.core.client import Client
from app.core.db import create_engine, create_sessions
from app.core.identity.person import Person
from app.core.identity.providers import Providers
from app.core.throttle import Limit, Throttle
from app.core.work import Work
from app.main import create_app
from app.models.identities import LinkedIdentity
from app.models.users import User
from app.services import identities, tokens
from app.setting_types import Provider
from tests.factories import add_user, new_email, signed_in
from tests.passwords import PASSWORD, with_password

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
    transport = httpx2.ASGITransport(app, client=("10.7.7.7", 1))
    async with httpx2.AsyncClient(
        transport=transport, base_url="https://test", headers={"origin": "https://test"}
    ) as client:
        yield client, app
    await app.state.throttle.close()
    await engine.dispose()


async def test_SIGNUP_13_parallel_confirmations_make_one_account(racing):
    from app.core.passwords import hash_password

    client, app = racing
    email, hashed = new_email(), await hash_password(PASSWORD)
    async with app.state.sessions.begin() as db:
        token = await tokens.issue(db, "sign_up", email, name="Ada", hash=hashed)
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
