"""Following a job: its changes in order, keep-alive comments between them, and the end of the stream."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

import pytest
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.sse import EventSourceResponse, ServerSentEvent
from packages.saaskit.jobs.job_system import JobSystem, eventually
from packages.saaskit.jobs.kinds import Work
from saaskit.jobs import queries
from saaskit.jobs.owner import MAX_FOLLOWED, JobStatus, can_follow, follow
from saaskit.web import problem_handlers
from sqlalchemy.ext.asyncio import AsyncSession

LastEventId = Annotated[str, Header(pattern=r"^[0-9]{1,9}$")]


class Product:
    """An application whose only user is ada, with a route as a product writes it."""

    def __init__(self, system: JobSystem) -> None:
        self.signed_in = True

        async def ignore(*_: Any) -> None:
            pass

        self.app = FastAPI(exception_handlers=problem_handlers(on_refusal=ignore))

        async def is_active(db: AsyncSession) -> bool:
            return self.signed_in

        async def check(job_id: UUID, last_event_id: LastEventId = "0") -> None:
            if not await can_follow(system.sessionmaker, "ada", job_id, int(last_event_id)):
                raise HTTPException(204)

        @self.app.get("/{job_id}/events", response_class=EventSourceResponse, dependencies=[Depends(check)])
        async def events(job_id: UUID, last_event_id: LastEventId = "0") -> AsyncIterator[ServerSentEvent]:
            async for job in follow(system.sessionmaker, "ada", job_id, int(last_event_id), is_active):
                data = JobStatus.model_validate(job)
                yield ServerSentEvent(data=data, event=job.state, id=str(job.revision))


class Stream:
    """A response that can be read while it is being sent."""

    def __init__(self) -> None:
        self.status, self.headers, self.text, self.done = 0, dict[str, str](), "", False

    async def receive(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.text += message.get("body", b"").decode()

    @property
    def events(self) -> list[dict[str, str]]:
        """The complete events, as their fields."""
        parts = [part for part in self.text.split("\n\n")[:-1] if not part.startswith(":")]
        return [dict(line.split(": ", 1) for line in part.splitlines()) for part in parts]

    async def until(self, text: str, limit: float = 40) -> None:
        """Wait until the response contains the text."""

        async def found() -> bool:
            return text in self.text

        await eventually(found, limit, lambda: self.text)

    async def until_done(self) -> None:
        async def done() -> bool:
            return self.done

        await eventually(done, explain=lambda: self.text)


@asynccontextmanager
async def get(product: Product, path: str, **headers: str) -> AsyncIterator[Stream]:
    """Request the path, and read the response in the background. Disconnects at the end."""
    stream, disconnect, sent = Stream(), asyncio.Event(), False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await disconnect.wait()
        return {"type": "http.disconnect"}

    async def run() -> None:
        try:
            await product.app(scope, receive, stream.receive)
        finally:
            stream.done = True

    names = {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in names.items()],
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
    }
    task = asyncio.create_task(run())
    try:
        yield stream
    finally:
        disconnect.set()
        async with asyncio.timeout(20):
            await task


async def read(product: Product, path: str, **headers: str) -> Stream:
    """Return the response once it is complete."""
    async with get(product, path, **headers) as stream:
        await stream.until_done()
    return stream


@pytest.fixture
def product(idle: JobSystem) -> Product:
    return Product(idle)


async def finish(idle: JobSystem, job: UUID) -> None:
    """Run the job by hand, until it has succeeded."""
    async with idle.sessionmaker.begin() as db:
        claimed = await queries.claim(db, job, "worker", 30)
        assert claimed
        await queries.finish(db, claimed, "succeeded", result={"file": "/x"})


async def test_each_change_is_an_event_until_the_job_has_finished(idle: JobSystem, product: Product):
    job = await idle.enqueue(Work(), owner="ada")
    async with get(product, f"/{job}/events") as stream:
        await stream.until('"state":"queued"')
        async with idle.sessionmaker.begin() as db:
            claimed = await queries.claim(db, job, "worker", 30)
            assert claimed
        await stream.until('"state":"running"')
        async with idle.sessionmaker.begin() as db:
            await queries.renew(db, claimed, 30, 40, "halfway")
            await queries.renew(db, claimed, 30, 40, "halfway")  # no change, no event
        await stream.until('"progress":40')
        async with idle.sessionmaker.begin() as db:
            await queries.finish(db, claimed, "succeeded", result={"rows": 3})
        await stream.until_done()
    assert stream.headers["content-type"].startswith("text/event-stream")
    shown = [json.loads(event["data"]) for event in stream.events]
    assert [(data["state"], data["progress"], data["note"]) for data in shown] == [
        ("queued", 0, ""),
        ("running", 0, ""),
        ("running", 40, "halfway"),
        ("succeeded", 100, "halfway"),
    ]
    assert [event["event"] for event in stream.events] == ["queued", "running", "running", "succeeded"]
    revisions = [int(event["id"]) for event in stream.events]
    assert revisions == sorted(set(revisions))
    assert shown[-1]["result"] == {"rows": 3}


@pytest.mark.slow
async def test_keep_alive_comments_are_sent_while_nothing_changes(idle: JobSystem, product: Product):
    """Otherwise proxies would close the connection. FastAPI sends one after 15 seconds."""
    job = await idle.enqueue(Work(), owner="ada")
    async with get(product, f"/{job}/events") as stream:
        await stream.until(": ping")
        assert len(stream.events) == 1


@pytest.mark.requirement("SES-7")
async def test_the_stream_ends_with_the_session(idle: JobSystem, product: Product):
    job = await idle.enqueue(Work(), owner="ada")
    async with get(product, f"/{job}/events") as stream:
        await stream.until("event: queued")
        assert not stream.done
        product.signed_in = False
        await stream.until_done()
    assert len(stream.events) == 1


async def test_a_user_can_follow_only_a_few_jobs_at_a_time(idle: JobSystem, product: Product):
    job = await idle.enqueue(Work(), owner="ada")
    path = f"/{job}/events"
    async with AsyncExitStack() as stack:
        followers = [await stack.enter_async_context(get(product, path)) for _ in range(MAX_FOLLOWED)]
        for follower in followers:
            await follower.until("event: queued")
        refused = await read(product, path)
        assert (refused.status, refused.headers["retry-after"]) == (429, "5")
        assert not any(follower.done for follower in followers)
        async with idle.sessionmaker.begin() as db:
            await queries.cancel(db, job)
        for follower in followers:
            await follower.until_done()
            assert (follower.status, follower.events[-1]["event"]) == (200, "cancelled")
    assert (await read(product, path)).status == 200, "the finished streams still count"


async def test_a_stream_continues_after_the_last_event_id(idle: JobSystem, product: Product):
    job = await idle.enqueue(Work(), owner="ada")
    await finish(idle, job)
    revision = (await idle.get(job)).revision
    path = f"/{job}/events"
    newer = await read(product, path, last_event_id=str(revision - 1))
    assert [event["id"] for event in newer.events] == [str(revision)]
    finished = await read(product, path, last_event_id=str(revision))
    assert (finished.status, finished.text) == (204, "")  # makes an EventSource stop reconnecting


@pytest.mark.parametrize("owner", ["mallory", None])
async def test_jobs_of_other_owners_are_not_found(idle: JobSystem, product: Product, owner: str | None):
    job = await idle.enqueue(Work(), owner=owner)
    assert (await read(product, f"/{job}/events")).status == 404
