"""Following a job while it works: its changes in order, heartbeats in between, the end."""

import asyncio
import json

import fastapi.routing
import httpx2
import pytest

from app.core.jobs import states
from app.main import create_app
from tests.factories import add_user, signed_in
from tests.jobs.kinds import Work
from tests.jobs.plant import Plant


async def test_changes_and_heartbeats_until_the_end(idle: Plant, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fastapi.routing, "_PING_INTERVAL", 0.2)
    app = create_app(idle.as_settings())
    app.state.sessions = idle.sessions
    async with idle.sessions() as db:
        user = await add_user(db)
        cookies = await signed_in(db, user)
    job = await idle.ask(Work(), owner=str(user.id))
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="https://test", cookies=cookies) as client:
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
