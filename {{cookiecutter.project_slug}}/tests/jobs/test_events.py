"""Following a job while it works: its changes in order, heartbeats in between, the end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import fastapi.routing
import httpx2
import pytest
from sqlalchemy import delete, func, update

from app.core.jobs import states
from app.main import create_app
from app.models.sessions import Session
from app.models.users import User
from app.services.jobs import MOST_FOLLOWED
from tests.factories import add_user, signed_in
from tests.jobs.kinds import Work
from tests.jobs.plant import Plant


@asynccontextmanager
async def _somebody(plant: Plant) -> AsyncIterator[tuple[httpx2.AsyncClient, User]]:
    """Who is signed in at an application on the plant's database."""
    app = create_app(plant.as_settings())
    app.state.sessions = plant.sessions
    async with plant.sessions() as db:
        user = await add_user(db)
        cookies = await signed_in(db, user)
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="https://test", cookies=cookies) as client:
        yield client, user


async def test_changes_and_heartbeats_until_the_end(idle: Plant, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fastapi.routing, "_PING_INTERVAL", 0.2)
    async with _somebody(idle) as (client, user):
        job = await idle.ask(Work(), owner=str(user.id))
        following = asyncio.create_task(client.get(f"/api/jobs/{job}/events"))
        await asyncio.sleep(0.8)
        async with idle.sessions.begin() as db:
            claimed = await states.claim(db, job, "worker", 30)
            assert claimed
        await asyncio.sleep(0.8)
        async with idle.sessions.begin() as db:
            await states.renew(db, claimed, 30, 40, "halfway")
            await states.renew(db, claimed, 30, 40, "halfway")  # no change, no event
        await asyncio.sleep(0.8)
        async with idle.sessions.begin() as db:
            await states.settle(db, claimed, "succeeded", result={"rows": 3})
        answer = await asyncio.wait_for(following, 10)
    lines = answer.text.splitlines()
    shown = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert [(each["state"], each["progress"], each["note"]) for each in shown] == [
        ("queued", 0, ""),
        ("running", 0, ""),
        ("running", 40, "halfway"),
        ("succeeded", 100, "halfway"),
    ]
    ids = [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ")]
    assert ids == sorted(set(ids))
    assert ": ping" in lines


@pytest.mark.parametrize("how", ["disabled", "signed out elsewhere"])
async def test_ses_7_a_stream_ends_with_the_session(idle: Plant, how: str):
    """Within half a second: at the next look."""
    async with _somebody(idle) as (client, user):
        job = await idle.ask(Work(), owner=str(user.id))
        following = asyncio.create_task(client.get(f"/api/jobs/{job}/events"))
        await asyncio.sleep(0.8)
        assert not following.done()
        disabled = update(User).where(User.id == user.id).values(disabled_at=func.now())
        async with idle.sessions.begin() as db:
            await db.execute(
                disabled if how == "disabled" else delete(Session).where(Session.user_id == user.id)
            )
        answer = await asyncio.wait_for(following, 5)
        assert answer.text.count("event: queued") == 1
        assert (await client.get(f"/api/jobs/{job}/events")).status_code == 401


async def test_nobody_follows_more_jobs_than_a_few(idle: Plant):
    async with _somebody(idle) as (client, user):
        job = await idle.ask(Work(), owner=str(user.id))
        path = f"/api/jobs/{job}/events"
        followers = [asyncio.create_task(client.get(path)) for _ in range(MOST_FOLLOWED)]
        await asyncio.sleep(0.8)
        refused = await client.get(path)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
        assert not any(follower.done() for follower in followers)
        async with idle.sessions.begin() as db:
            await states.cancel(db, job)
        assert {answer.status_code for answer in await asyncio.gather(*followers)} == {200}
        assert (await client.get(path)).status_code == 200, "they count no longer"
