"""`Upstream` in typed mode, against a scripted server on a real socket."""

import asyncio
import os
import time
from collections.abc import AsyncIterator

import pytest
import structlog
from pydantic import BaseModel, SecretStr

from app.core.errors import NotFound, Problem, UpstreamBusy, UpstreamFailed, UpstreamLate
from app.core.upstream import REGISTRY, Limits, Upstream
from app.core.upstream.breaker import Breaker, Call
from app.core.upstream.retries import Budget, retry_after
from tests.scripted import Scripted, answer, flood, head, in_turn, late, raw, reset, scripted, zipped

QUICK = Limits(connect=0.5, read=0.4, pool=0.1, total=1.5, concurrency=4, answer_bytes=100_000)
MB = 1_000_000


class Repository(BaseModel):
    name: str = ""


@pytest.fixture
async def script() -> AsyncIterator[Scripted]:
    async with scripted() as script:
        yield script


@pytest.fixture
async def there(script: Scripted) -> AsyncIterator[Upstream]:
    upstream = Upstream("there", base_url=script.url + "/v1", secret=SecretStr("s3cret"), limits=QUICK)
    yield upstream
    await upstream.exchange.close()
    del REGISTRY["there"]


async def failure(upstream: Upstream, path: str = "/x", method: str = "GET") -> Problem:
    with pytest.raises(Problem) as caught:
        await upstream.request(method, path, model=Repository)
    text = str(caught.value.detail)
    assert "there" in text
    assert "127.0.0.1" not in text
    assert "s3cret" not in text
    return caught.value


@pytest.mark.parametrize("act", [answer('{"name": "x", "new": 1}'), zipped(b'{"name": "x"}')])
async def test_an_answer_becomes_a_model(script: Scripted, there: Upstream, act):
    script["/v1/repos/a%2Fb/c%20d"] = act
    found = await there.get(
        "/repos/{owner}/{name}", model=Repository, owner="a/b", name="c d", params={"q": "ö&", "none": None}
    )
    assert found == Repository(name="x")
    (asked,) = script.asked
    assert asked.target == "/v1/repos/a%2Fb/c%20d?q=%C3%B6%26"
    assert asked.header("authorization") == ["Bearer s3cret"]


@pytest.mark.parametrize(
    "value",
    ["../admin", "%2e%2e%2f", "x?y=", "x#", "//evil.example", "@evil.example", "http://evil.example/", "é"],
)
async def test_proxy_5_a_segment_stays_in_its_place(script: Scripted, there: Upstream, value: str):
    with pytest.raises(NotFound):
        await there.get("/users/{x}", model=Repository, x=value)
    (asked,) = script.asked
    assert asked.target.startswith("/v1/users/")
    assert not set(asked.target.removeprefix("/v1/users/")) & set("/?#@:")


@pytest.mark.parametrize("value", ["", ".", "..", "a\r\nHost: evil", "nul\x00", "\x7f"])
async def test_proxy_5_what_is_no_segment_is_not_asked_for(script: Scripted, there: Upstream, value: str):
    with pytest.raises(NotFound):
        await there.get("/users/{x}", model=Repository, x=value)
    assert script.asked == []


async def test_proxy_6_request_id_and_trace_go_along(script: Scripted, there: Upstream):
    script["/v1/x"] = answer()
    parent = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    with structlog.contextvars.bound_contextvars(request_id="request-1"):
        for _ in range(2):
            await there.get("/x", model=Repository)
        with structlog.contextvars.bound_contextvars(traceparent=parent):
            await there.get("/x", model=Repository)
    one, two, carried = [asked.header("traceparent")[0].split("-") for asked in script.asked]
    assert one[1] == two[1]
    assert one[2] != two[2]
    assert carried[1] == "a" * 32
    assert carried[2] != "b" * 16
    assert script.asked[0].header("x-request-id") == ["request-1"]


async def test_nothing_is_remembered_between_calls(script: Scripted, there: Upstream):
    script["/v1/x"] = answer(set_cookie="user=alice; Path=/")
    for _ in range(2):
        await there.get("/x", model=Repository)
    assert script.asked[1].header("cookie") == []


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        pytest.param(answer(status=404), NotFound, id="404"),
        pytest.param(answer(status=401), UpstreamFailed, id="401"),
        pytest.param(answer(status=302, location="http://127.0.0.1:1/"), UpstreamFailed, id="redirect"),
        pytest.param(answer(status=500), UpstreamFailed, id="500"),
        pytest.param(answer(status=503), UpstreamBusy, id="503"),
        pytest.param(answer("<html>"), UpstreamFailed, id="html"),
        pytest.param(answer('{"name": 1}'), UpstreamFailed, id="another shape"),
        pytest.param(answer(b'{"name": "\xff"}'), UpstreamFailed, id="bad UTF-8"),
        pytest.param(answer(b"x", content_encoding="br"), UpstreamFailed, id="unasked encoding"),
        pytest.param(answer(b"x", content_encoding="gzip"), UpstreamFailed, id="broken gzip"),
        pytest.param(flood(20 * MB), UpstreamFailed, id="20 MB"),
        pytest.param(zipped(b" " * 100 * MB), UpstreamFailed, id="gzip bomb"),
        pytest.param(raw(b"nonsense\r\n\r\n"), UpstreamFailed, id="no HTTP"),
        pytest.param(reset(), UpstreamFailed, id="reset"),
        pytest.param(raw(), UpstreamFailed, id="closed at once"),
        pytest.param(raw(head(200, {"content-length": "100"}) + b'{"name"'), UpstreamFailed, id="too short"),
        pytest.param(raw(head(200, {"x": "y" * 10 * MB})), UpstreamFailed, id="10 MB of headers"),
        pytest.param(late(5, answer()), UpstreamLate, id="silent"),
        pytest.param(raw(head(200, {}), *[b" ", 0.2] * 50), UpstreamLate, id="drip"),
        pytest.param(raw(head(200, {}), b" ", 5.0), UpstreamLate, id="silent in the middle"),
    ],
)
async def test_proxy_12_every_trouble_is_a_problem_in_time(
    script: Scripted, there: Upstream, act, kind: type
):
    script["/v1/x"] = act
    started = time.monotonic()
    assert type(await failure(there)) is kind
    assert time.monotonic() - started < 4
    script["/v1/x"] = answer('{"name": "fine"}')
    assert (await there.get("/x", model=Repository)).name == "fine"
    assert there.exchange.line().places._value == QUICK.concurrency, "every place was given back"


async def test_proxy_12_a_dead_upstream_fails_at_once(there: Upstream, caplog: pytest.LogCaptureFixture):
    there.base_url = "http://127.0.0.1:1"
    started = time.monotonic()
    assert type(await failure(there)) is UpstreamFailed
    assert time.monotonic() - started < 2
    assert "upstream failed" in caplog.text


async def test_what_may_work_in_a_moment_is_tried_again(script: Scripted, there: Upstream):
    fine = answer('{"name": "fine"}')
    for number, act in enumerate((answer(status=503), answer(status=502), answer(status=504), reset())):
        script[f"/v1/{number}"] = in_turn(act, fine)
        assert (await there.get(f"/{number}", model=Repository)).name == "fine"
    assert len(script.asked) == 8


async def test_what_may_have_happened_is_not_tried_again(script: Scripted, there: Upstream):
    script["/v1/503"], script["/v1/reset"] = answer(status=503), reset()
    await failure(there, "/503", "POST")
    await failure(there, "/reset", "POST")
    assert len(script.asked) == 2


async def test_a_request_that_was_never_sent_is_tried_again(there: Upstream):
    there.base_url = "http://127.0.0.1:1"
    left = there.exchange.budget.left
    await failure(there, method="POST")
    assert there.exchange.budget.left < left


async def test_an_upstream_is_believed_when_it_says_when(script: Scripted, there: Upstream):
    script["/v1/x"] = in_turn(answer(status=429, retry_after="0"), answer('{"name": "fine"}'))
    assert (await there.get("/x", model=Repository)).name == "fine"
    script["/v1/y"] = answer(status=429, retry_after="120")
    busy = await failure(there, "/y")
    assert (busy.status, busy.headers["Retry-After"]) == (503, "120")
    script["/v1/z"] = answer(status=429)
    await failure(there, "/z")
    assert len(script.asked) == 4


async def test_retries_never_become_the_load(script: Scripted, there: Upstream):
    script["/v1/x"] = answer(status=503)
    there.exchange.breaker.failures = 10**6
    there.exchange.budget = Budget(ratio=0.1, most=3)
    for _ in range(30):
        await failure(there)
    assert len(script.asked) <= 30 + 3 + 3


async def test_more_than_it_takes_at_once_is_refused_soon(script: Scripted, there: Upstream):
    script["/v1/x"] = late(0.3, answer())
    started = time.monotonic()
    found = await asyncio.gather(
        *(there.get("/x", model=Repository) for _ in range(12)), return_exceptions=True
    )
    busy = [each for each in found if isinstance(each, UpstreamBusy)]
    assert len(busy) == 12 - QUICK.concurrency
    assert busy[0].headers["Retry-After"] == "1"
    assert script.connections <= QUICK.concurrency
    assert time.monotonic() - started < 2
    assert there.state == "ok", "being full says nothing about the upstream"


async def test_proxy_12_a_breaker_opens_asks_with_one_call_and_closes(script: Scripted, there: Upstream):
    there.exchange.breaker.pause = there.exchange.breaker.shortest = 0.3
    there.exchange.budget.left = 0
    script["/v1/x"] = answer(status=500)
    for _ in range(5):
        await failure(there)
    assert there.state == "unavailable"
    for _ in range(20):
        assert type(await failure(there)) is UpstreamBusy
    assert len(script.asked) == 5
    await asyncio.sleep(0.4)
    await asyncio.gather(*(failure(there) for _ in range(10)))
    assert len(script.asked) == 6, "one call asked whether it is back"
    await asyncio.sleep(0.8)
    script["/v1/x"] = answer()
    await there.get("/x", model=Repository)
    assert there.state == "ok"


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(raw(head(200, {"content-length": "100"}) + b"{"), id="cut off"),
        pytest.param(raw(head(200, {}), b" ", 5.0), id="silent in the middle"),
        pytest.param(raw(head(200, {}), *[b" ", 0.1] * 50), id="drip"),
        pytest.param(answer("<html>"), id="html"),
        pytest.param(zipped(b" " * 100 * MB), id="gzip bomb"),
    ],
)
async def test_proxy_12_what_is_wrong_after_the_headers_opens_the_breaker(
    script: Scripted, there: Upstream, act
):
    script["/v1/x"] = act
    there.exchange.breaker.failures = 3
    await asyncio.gather(*(failure(there) for _ in range(3)))
    assert there.state == "unavailable"
    assert type(await failure(there)) is UpstreamBusy


async def test_a_breaker_whose_pause_is_over_refuses_nobody(there: Upstream):
    there.exchange.breaker = Breaker(failures=1, pause=0.05)
    there.exchange.breaker.admit().failed()
    assert there.state == "unavailable"
    await asyncio.sleep(0.1)
    assert there.state == "ok", "an upstream that nobody calls is not degraded for ever"


async def test_a_question_that_is_late_doubles_the_pause(script: Scripted, there: Upstream):
    script["/v1/x"] = raw(head(200, {}), *[b" ", 0.2] * 50)
    breaker = there.exchange.breaker = Breaker(failures=1, pause=0.05)
    breaker.admit().failed()
    await asyncio.sleep(0.1)
    assert type(await failure(there)) is UpstreamLate
    assert (breaker.pause, there.state) == (0.1, "unavailable")


def test_a_breaker_needs_half_of_all_calls_to_fail():
    breaker = Breaker()
    for _ in range(10):
        breaker.admit().succeeded()
    for _ in range(9):
        breaker.admit().failed()
    assert not breaker.refuses()
    breaker.admit().failed()
    assert breaker.refuses()


def test_only_the_call_that_asks_decides_while_a_breaker_is_open():
    breaker = Breaker(pause=0)
    old = [breaker.admit() for _ in range(4)]
    for _ in range(5):
        breaker.admit().failed()
    probe = breaker.admit()
    assert breaker.refuses()
    for call, say in zip(old, (Call.succeeded, Call.failed, Call.abandoned, Call.answered), strict=True):
        say(call)
        assert breaker.refuses(), "what began before is no news"
    probe.abandoned()
    assert not breaker.refuses(), "another may ask"
    breaker.shortest = breaker.pause = 1
    probe = breaker.admit()
    probe.failed()
    probe.abandoned()
    assert (breaker.pause, breaker.refuses() >= 1) == (2, True)
    breaker.open_until = 0
    stream = breaker.admit()
    stream.answered()
    assert not breaker.refuses(), "a stream need not end first"
    stream.failed()
    assert (breaker.pause, breaker.refuses()) == (1, 0)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3), ("Fri, 13 Jan 2006 00:00:00 GMT", 0), ("", None), ("soon", None), ("-1", None), ("٣", None)],
)
def test_retry_after_is_read(value: str, seconds: float | None):
    assert retry_after(value) == seconds


async def test_proxy_14_the_environment_names_no_proxy(
    script: Scripted, there: Upstream, monkeypatch: pytest.MonkeyPatch
):
    script["/v1/x"] = answer()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setitem(os.environ, name, "http://127.0.0.1:1")
    await there.get("/x", model=Repository)


async def test_an_upstream_follows_its_process_to_another_loop(script: Scripted, there: Upstream):
    script["/v1/x"] = answer()

    async def elsewhere() -> None:
        await there.get("/x", model=Repository)
        await there.exchange.close()

    await there.get("/x", model=Repository)
    await asyncio.to_thread(asyncio.run, elsewhere())
    await there.get("/x", model=Repository)
    assert script.connections == 2
