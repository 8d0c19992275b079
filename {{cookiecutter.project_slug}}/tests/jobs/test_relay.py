"""The relay: what it publishes, in which order, how often; here as an object in the test's own process."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSimError
from sqlalchemy import text

from app.core.jobs import enqueue, schedules
from app.core.jobs.broker import Broker
from app.core.jobs.relay import Relay
from app.core.jobs.schedules import Schedule, tick
from app.models.jobs import JobRow
from tests.jobs.kinds import Lone, Work
from tests.jobs.plant import Plant


class Notebook(Broker):
    """A broker that also notes what it is given."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.published: list[UUID] = []

    def publish(self, queue: str, jobs: Iterable[tuple[UUID, float]]) -> Iterator[UUID]:
        for job in super().publish(queue, jobs):
            self.published.append(job)
            yield job


@pytest.fixture
async def relay(idle: Plant) -> AsyncIterator[Relay]:
    settings = idle.as_settings()
    relay = Relay(settings, Notebook(settings), window=4)
    yield relay
    await relay.engine.dispose()


def published(relay: Relay) -> list[UUID]:
    assert isinstance(relay.broker, Notebook)
    return relay.broker.published


async def test_higher_priorities_go_first_and_the_window_keeps_the_rest(idle: Plant, relay: Relay):
    low = [await idle.ask(Work(), priority=1) for _ in range(6)]
    high = await idle.ask(Work(), priority=9)
    await relay.once()
    assert published(relay) == [high, *low[:3]]
    await relay.once()
    assert len(published(relay)) == 4
    assert await asyncio.to_thread(relay.broker.waiting, "default") == 4


async def test_a_delayed_job_waits_for_its_time(idle: Plant, relay: Relay):
    job = await idle.ask(Work(), delay=timedelta(seconds=0.7))
    wait = await relay.once()
    assert published(relay) == []
    assert 0 < wait <= 0.7
    await asyncio.sleep(0.8)
    await relay.once()
    assert published(relay) == [job]


async def test_no_more_of_a_key_are_published_than_may_run(idle: Plant, relay: Relay):
    first, *_ = [await idle.ask(Lone(key="a")) for _ in range(3)]
    other = await idle.ask(Lone(key="b"))
    for _ in range(2):
        await relay.once()
    assert sorted(published(relay)) == sorted([first, other])


async def test_two_relays_publish_each_job_once(idle: Plant):
    settings = idle.as_settings()
    relays = [Relay(settings, Notebook(settings), window=1000) for _ in range(2)]
    async with idle.sessions.begin() as db:
        for number in range(100):
            await enqueue(db, Work(number=number))
    await asyncio.gather(*(relay.once() for relay in relays))
    together = [job for relay in relays for job in published(relay)]
    assert len(together) == len(set(together)) == 100
    for relay in relays:
        await relay.engine.dispose()


async def test_lost_messages_are_published_again_and_waiting_ones_are_not(idle: Plant, relay: Relay):
    jobs = [await idle.ask(Work()) for _ in range(3)]
    await relay.once()
    async with idle.sessions.begin() as db:
        await db.execute(text("UPDATE jobs SET published_at = now() - interval '1 hour'"))
    await relay.once()
    await relay.once()
    assert len(published(relay)) == 3  # they wait in the broker: a long queue is no loss
    await asyncio.to_thread(relay.broker.celery.control.purge)
    purged = relay.broker.celery.connection_for_write().default_channel
    await asyncio.to_thread(purged.queue_purge, "default")
    await asyncio.sleep(relay.period)
    await relay.once()
    await relay.once()
    assert published(relay)[3:] == jobs


async def test_a_broker_that_is_away_loses_nothing_and_blocks_no_request(idle: Plant):
    settings = idle.as_settings().model_copy(update={"celery_broker_url": "redis://127.0.0.1:9/0"})
    relay = Relay(settings, Broker(settings))
    running = asyncio.create_task(relay.run())
    began = time.monotonic()
    job = await idle.ask(Work())
    assert time.monotonic() - began < 2
    await asyncio.sleep(1)
    relay.stop()
    await running
    row = await idle.row(job)
    assert row.state == "queued"
    async with idle.sessions() as db:
        assert await db.scalar(text("SELECT published_at FROM jobs")) is None


class TestSchedules:
    """Cron lines: one job for each tick, whoever ticks."""

    @pytest.fixture(autouse=True)
    def only_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        each = Schedule("hourly", Work(), "0 * * * *", ZoneInfo("UTC"))
        monkeypatch.setattr(schedules, "schedules", {"hourly": each})

    def at(self, hour: int, minute: int = 0) -> datetime:
        return datetime(2026, 11, 23, hour, minute, tzinfo=UTC)

    async def made(self, idle: Plant) -> int:
        return await idle.count(JobRow.__tablename__)

    async def test_a_new_schedule_begins_with_its_next_tick(self, idle: Plant):
        assert await tick(idle.sessions, {}, self.at(9, 30)) == 0
        assert await tick(idle.sessions, {}, self.at(10, 1)) == 1

    async def test_two_relays_make_one_job(self, idle: Plant):
        await tick(idle.sessions, {}, self.at(9, 30))
        made = await asyncio.gather(*(tick(idle.sessions, {}, self.at(10)) for _ in range(5)))
        assert (sum(made), await self.made(idle)) == (1, 1)

    async def test_of_missed_ticks_the_last_is_made_up_for(self, idle: Plant):
        await tick(idle.sessions, {}, self.at(1, 30))
        assert await tick(idle.sessions, {}, self.at(9, 30)) == 1
        assert await tick(idle.sessions, {}, self.at(9, 59)) == 0

    def test_the_time_zone_is_the_schedules_own(self):
        each = Schedule("early", Work(), "30 2 * * *", ZoneInfo("Europe/Berlin"))
        assert each.last(datetime(2026, 7, 1, 1, 0, tzinfo=UTC)) == datetime(2026, 7, 1, 0, 30, tzinfo=UTC)
        spring = each.last(datetime(2026, 3, 29, 12, 0, tzinfo=UTC))  # 02:30 does not exist: 03:00
        assert spring == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
        autumn = each.last(datetime(2026, 10, 25, 12, 0, tzinfo=UTC))  # 02:30 exists twice: the first
        assert autumn == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)

    def test_a_bad_line_and_a_taken_name_are_refused_at_once(self):
        with pytest.raises(CronSimError, match="Bad minute"):
            schedules.schedule(Work(), cron="99 * * * *", zone="UTC")
        with pytest.raises(ValueError, match="Two schedules are called hourly"):
            schedules.schedule(Work(), cron="1 * * * *", zone="UTC", name="hourly")
