"""The relay, as an object in the test's own process: which jobs it publishes, in which order, how often."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSimError
from packages.saaskit.jobs.job_system import JobSystem, eventually
from packages.saaskit.jobs.kinds import Lone, Work
from saaskit.jobs import enqueue, schedules
from saaskit.jobs.broker import Broker
from saaskit.jobs.relay import Relay
from saaskit.jobs.schedules import Schedule, tick
from sqlalchemy import text


class RecordingBroker(Broker):
    """A broker that records the published ids."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.calls = 0
        self.published: list[UUID] = []

    def publish(self, queue: str, jobs: Iterable[tuple[UUID, float]]) -> Iterator[UUID]:
        self.calls += 1
        for job in super().publish(queue, jobs):
            self.published.append(job)
            yield job


@pytest.fixture(autouse=True)
def no_schedules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep schedules that other test modules import from enqueuing jobs here."""
    monkeypatch.setattr(schedules, "schedules", {})


@pytest.fixture
async def relay(idle: JobSystem) -> AsyncIterator[Relay]:
    settings = idle.settings()
    relay = Relay(settings, RecordingBroker(settings), window=4)
    yield relay
    await relay.close()


def published(relay: Relay) -> list[UUID]:
    assert isinstance(relay.broker, RecordingBroker)
    return relay.broker.published


async def test_higher_priorities_go_first_and_the_window_keeps_the_rest(idle: JobSystem, relay: Relay):
    low = [await idle.enqueue(Work(), priority=1) for _ in range(6)]
    high = await idle.enqueue(Work(), priority=9)
    await relay.run_once()
    assert published(relay) == [high, *low[:3]]
    await relay.run_once()
    assert len(published(relay)) == 4
    assert await asyncio.to_thread(relay.broker.message_count, "default") == 4


async def test_a_delayed_job_waits_for_its_time(idle: JobSystem, relay: Relay):
    job = await idle.enqueue(Work(), delay=timedelta(seconds=0.7))
    wait = await relay.run_once()
    assert published(relay) == []
    assert 0 < wait <= 0.7

    async def is_published() -> bool:
        await relay.run_once()
        return published(relay) == [job]

    await eventually(is_published)
    assert await idle.count("jobs", "published_at >= run_after") == 1


async def test_no_more_of_a_key_are_published_than_may_run(idle: JobSystem, relay: Relay):
    first, *_ = [await idle.enqueue(Lone(key="a")) for _ in range(3)]
    other = await idle.enqueue(Lone(key="b"))
    for _ in range(2):
        await relay.run_once()
    assert sorted(published(relay)) == sorted([first, other])


async def test_two_relays_publish_each_job_once(idle: JobSystem):
    settings = idle.settings()
    relays = [Relay(settings, RecordingBroker(settings), window=1000) for _ in range(2)]
    async with idle.sessionmaker.begin() as db:
        for number in range(100):
            await enqueue(db, Work(number=number))
    await asyncio.gather(*(relay.run_once() for relay in relays))
    together = [job for relay in relays for job in published(relay)]
    assert len(together) == len(set(together)) == 100
    for relay in relays:
        await relay.close()


async def test_lost_messages_are_published_again_but_waiting_ones_are_not(idle: JobSystem, relay: Relay):
    jobs = [await idle.enqueue(Work()) for _ in range(3)]
    await relay.run_once()
    async with idle.sessionmaker.begin() as db:
        await db.execute(text("UPDATE jobs SET published_at = now() - interval '1 hour'"))
    await relay.run_once()
    await relay.run_once()
    assert len(published(relay)) == 3  # the messages still wait in the broker
    channel = relay.broker.celery.connection_for_write().default_channel
    await asyncio.to_thread(channel.queue_purge, "default")

    async def published_again() -> bool:
        await relay.run_once()
        return len(published(relay)) > 3

    await eventually(published_again)
    assert published(relay)[3:] == jobs


async def test_an_unavailable_broker_loses_no_job_and_blocks_no_request(idle: JobSystem):
    settings = idle.settings().model_copy(update={"celery_broker_url": "redis://127.0.0.1:9/0"})
    broker = RecordingBroker(settings)
    relay = Relay(settings, broker)
    running = asyncio.create_task(relay.run())
    async with asyncio.timeout(5):
        job = await idle.enqueue(Work())

    async def tried_twice() -> bool:
        return broker.calls >= 2

    await eventually(tried_twice)
    relay.stop()
    await running
    row = await idle.get(job)
    assert row.state == "queued"
    assert row.published_at is None


class TestSchedules:
    """Each tick of a schedule enqueues one job."""

    @pytest.fixture(autouse=True)
    def hourly(self, monkeypatch: pytest.MonkeyPatch) -> None:
        entry = Schedule("hourly", Work(), "0 * * * *", ZoneInfo("UTC"))
        monkeypatch.setattr(schedules, "schedules", {"hourly": entry})

    def at(self, hour: int, minute: int = 0) -> datetime:
        return datetime(2026, 11, 23, hour, minute, tzinfo=UTC)

    async def test_a_new_schedule_starts_with_its_next_tick(self, idle: JobSystem):
        assert await tick(idle.sessionmaker, {}, self.at(9, 30)) == 0
        assert await tick(idle.sessionmaker, {}, self.at(10, 1)) == 1

    async def test_several_relays_enqueue_one_job(self, idle: JobSystem):
        await tick(idle.sessionmaker, {}, self.at(9, 30))
        enqueued = await asyncio.gather(*(tick(idle.sessionmaker, {}, self.at(10)) for _ in range(5)))
        assert (sum(enqueued), await idle.count("jobs")) == (1, 1)

    async def test_only_the_last_missed_tick_is_made_up_for(self, idle: JobSystem):
        await tick(idle.sessionmaker, {}, self.at(1, 30))
        assert await tick(idle.sessionmaker, {}, self.at(9, 30)) == 1
        assert await tick(idle.sessionmaker, {}, self.at(9, 59)) == 0

    def test_ticks_follow_the_time_zone_of_the_schedule(self):
        entry = Schedule("early", Work(), "30 2 * * *", ZoneInfo("Europe/Berlin"))
        assert entry.last_tick(datetime(2026, 7, 1, 1, 0, tzinfo=UTC)) == datetime(2026, 7, 1, 0, 30, tzinfo=UTC)
        spring = entry.last_tick(datetime(2026, 3, 29, 12, 0, tzinfo=UTC))  # 02:30 does not exist: 03:00
        assert spring == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
        autumn = entry.last_tick(datetime(2026, 10, 25, 12, 0, tzinfo=UTC))  # 02:30 exists twice: the first
        assert autumn == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)

    def test_an_invalid_expression_and_a_duplicate_name_are_rejected(self):
        with pytest.raises(CronSimError, match="Bad minute"):
            schedules.schedule(Work(), cron="99 * * * *", zone="UTC")
        with pytest.raises(ValueError, match="Duplicate schedule hourly"):
            schedules.schedule(Work(), cron="1 * * * *", zone="UTC", name="hourly")
