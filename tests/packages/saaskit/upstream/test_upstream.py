"""`Upstream` with typed responses, against a scripted server on a real socket."""

import asyncio
import os

import pytest
import structlog
import structlog.testing
from packages.saaskit.upstream.clock import Clock
from pydantic import BaseModel, SecretStr
from saaskit.errors import BadGateway, GatewayTimeout, NotFound, Problem, UpstreamUnavailable
from saaskit.testing import (
    UpstreamServer,
    delayed,
    flood,
    gzipped,
    raw,
    reset,
    respond,
    response_head,
    sequence,
)
from saaskit.upstream import Limits, Upstream, readiness
from saaskit.upstream.breaker import Breaker, State
from saaskit.upstream.client import Binding
from saaskit.upstream.transport import RetryBudget, UpstreamTransport, retry_after

LIMITS = Limits(connect=0.5, read=0.4, pool=0.1, total=1.5, concurrency=4, response_bytes=100_000)
MB = 1_000_000


class Repository(BaseModel):
    name: str = ""


@pytest.fixture
def example(server: UpstreamServer) -> Upstream:
    return Upstream("example", base_url=server.url + "/v1", secret=SecretStr("s3cret"), limits=LIMITS)


@pytest.fixture
def transport(binding: Binding, example: Upstream) -> UpstreamTransport:
    return binding.transport(example)


@pytest.fixture
def dead(binding: Binding) -> Upstream:
    return Upstream("example", base_url="http://127.0.0.1:1", limits=LIMITS)


async def failure(upstream: Upstream, path: str = "/x", method: str = "GET") -> Problem:
    """Return the problem of a call, which names the upstream and reveals nothing else about it."""
    with pytest.raises(Problem) as caught:
        await upstream.request(method, path, model=Repository)
    detail = str(caught.value.detail)
    assert "example" in detail
    assert "127.0.0.1" not in detail
    assert "s3cret" not in detail
    return caught.value


@pytest.mark.parametrize("responder", [respond('{"name": "x", "new": 1}'), gzipped(b'{"name": "x"}')])
@pytest.mark.usefixtures("binding")
async def test_a_response_becomes_a_model(server: UpstreamServer, example: Upstream, responder):
    server["/v1/repos/a%2Fb/c%20d"] = responder
    repository = await example.get(
        "/repos/{owner}/{name}", model=Repository, owner="a/b", name="c d", params={"q": "ö&", "none": None}
    )
    assert repository == Repository(name="x")
    (request,) = server.requests
    assert request.target == "/v1/repos/a%2Fb/c%20d?q=%C3%B6%26"
    assert request.header("authorization") == ["Bearer s3cret"]


@pytest.mark.requirement("PROXY-5")
@pytest.mark.parametrize(
    "value",
    ["../admin", "%2e%2e%2f", "x?y=", "x#", "//evil.example", "@evil.example", "http://evil.example/", "é"],
)
@pytest.mark.usefixtures("binding")
async def test_a_value_stays_within_its_path_segment(server: UpstreamServer, example: Upstream, value: str):
    with pytest.raises(NotFound):
        await example.get("/users/{x}", model=Repository, x=value)
    (request,) = server.requests
    assert request.target.startswith("/v1/users/")
    assert not set(request.target.removeprefix("/v1/users/")) & set("/?#@:")


@pytest.mark.requirement("PROXY-5")
@pytest.mark.parametrize("value", ["", ".", "..", "a\r\nHost: evil", "nul\x00", "\x7f"])
@pytest.mark.usefixtures("binding")
async def test_a_value_that_is_no_path_segment_is_not_sent(server: UpstreamServer, example: Upstream, value: str):
    with pytest.raises(NotFound):
        await example.get("/users/{x}", model=Repository, x=value)
    assert server.requests == []


@pytest.mark.requirement("PROXY-6")
@pytest.mark.usefixtures("binding")
async def test_request_id_and_trace_context_are_sent(server: UpstreamServer, example: Upstream):
    server["/v1/x"] = respond()
    parent = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    with structlog.contextvars.bound_contextvars(request_id="request-1"):
        for _ in range(2):
            await example.get("/x", model=Repository)
        with structlog.contextvars.bound_contextvars(traceparent=parent):
            await example.get("/x", model=Repository)
    one, two, continued = [request.header("traceparent")[0].split("-") for request in server.requests]
    assert one[1] == two[1]
    assert one[2] != two[2]
    assert continued[1] == "a" * 32
    assert continued[2] != "b" * 16
    assert server.requests[0].header("x-request-id") == ["request-1"]


@pytest.mark.usefixtures("binding")
async def test_cookies_are_not_kept_between_calls(server: UpstreamServer, example: Upstream):
    server["/v1/x"] = respond(set_cookie="user=alice; Path=/")
    for _ in range(2):
        await example.get("/x", model=Repository)
    assert server.requests[1].header("cookie") == []


@pytest.mark.requirement("PROXY-12")
@pytest.mark.parametrize(
    ("responder", "error"),
    [
        pytest.param(respond(status=404), NotFound, id="404"),
        pytest.param(respond(status=401), BadGateway, id="401"),
        pytest.param(respond(status=302, location="http://127.0.0.1:1/"), BadGateway, id="redirect"),
        pytest.param(respond(status=500), BadGateway, id="500"),
        pytest.param(respond(status=503), UpstreamUnavailable, id="503"),
        pytest.param(respond("<html>"), BadGateway, id="html"),
        pytest.param(respond('{"name": 1}'), BadGateway, id="another shape"),
        pytest.param(respond(b'{"name": "\xff"}'), BadGateway, id="bad UTF-8"),
        pytest.param(respond(b"x", content_encoding="br"), BadGateway, id="unasked encoding"),
        pytest.param(respond(b"x", content_encoding="gzip"), BadGateway, id="corrupt gzip"),
        pytest.param(flood(20 * MB), BadGateway, id="20 MB"),
        pytest.param(gzipped(b" " * 100 * MB), BadGateway, id="gzip bomb"),
        pytest.param(raw(b"nonsense\r\n\r\n"), BadGateway, id="no HTTP"),
        pytest.param(reset(), BadGateway, id="reset"),
        pytest.param(raw(), BadGateway, id="closed at once"),
        pytest.param(raw(response_head(200, {"content-length": "100"}) + b'{"name"'), BadGateway, id="too short"),
        pytest.param(raw(response_head(200, {"x": "y" * 10 * MB})), BadGateway, id="10 MB of headers"),
        pytest.param(delayed(30, respond()), GatewayTimeout, id="silent"),
        pytest.param(raw(response_head(200, {}), *[b" ", 0.2] * 150), GatewayTimeout, id="drip"),
        pytest.param(raw(response_head(200, {}), b" ", 30.0), GatewayTimeout, id="silent in the body"),
    ],
)
@pytest.mark.usefixtures("binding")
async def test_every_failure_is_a_problem_in_time_and_frees_its_connection(
    server: UpstreamServer, example: Upstream, responder, error: type
):
    server["/v1/x"] = responder
    async with asyncio.timeout(15):  # the responders take longer
        assert type(await failure(example)) is error

    all_connected = asyncio.Barrier(LIMITS.concurrency)

    async def respond_together(request, writer: asyncio.StreamWriter) -> None:
        await all_connected.wait()
        await respond('{"name": "fine"}')(request, writer)

    server["/v1/x"] = respond_together
    calls = [example.get("/x", model=Repository) for _ in range(LIMITS.concurrency)]
    assert {repository.name for repository in await asyncio.gather(*calls)} == {"fine"}


@pytest.mark.requirement("PROXY-12")
async def test_a_dead_upstream_fails_at_once(dead: Upstream):
    with structlog.testing.capture_logs() as logs:
        async with asyncio.timeout(10):
            assert type(await failure(dead)) is BadGateway
    assert logs[0] == {
        "event": "upstream failed",
        "log_level": "warning",
        "upstream": "example",
        "error": "ConnectError",
    }


@pytest.mark.usefixtures("binding")
async def test_temporary_failures_are_retried(server: UpstreamServer, example: Upstream):
    fine = respond('{"name": "fine"}')
    failures = (respond(status=503), respond(status=502), respond(status=504), reset())
    for number, responder in enumerate(failures):
        server[f"/v1/{number}"] = sequence(responder, fine)
        assert (await example.get(f"/{number}", model=Repository)).name == "fine"
    assert len(server.requests) == 8


@pytest.mark.usefixtures("binding")
async def test_a_post_that_may_have_had_an_effect_is_not_retried(server: UpstreamServer, example: Upstream):
    server["/v1/503"], server["/v1/reset"] = respond(status=503), reset()
    await failure(example, "/503", "POST")
    await failure(example, "/reset", "POST")
    assert len(server.requests) == 2


async def test_a_post_that_was_never_sent_is_retried(binding: Binding, dead: Upstream):
    budget = binding.transport(dead).retry_budget
    before = budget.left
    await failure(dead, method="POST")
    assert budget.left == before - LIMITS.retries


@pytest.mark.usefixtures("binding")
async def test_retry_after_is_obeyed(server: UpstreamServer, example: Upstream):
    server["/v1/x"] = sequence(respond(status=429, retry_after="0"), respond('{"name": "fine"}'))
    assert (await example.get("/x", model=Repository)).name == "fine"
    server["/v1/y"] = respond(status=429, retry_after="120")
    busy = await failure(example, "/y")
    assert (busy.status, busy.headers["Retry-After"]) == (503, "120")
    server["/v1/z"] = respond(status=429)
    await failure(example, "/z")
    assert len(server.requests) == 4


async def test_retries_are_limited_to_a_share_of_all_calls(
    server: UpstreamServer, example: Upstream, transport: UpstreamTransport
):
    server["/v1/x"] = respond(status=503)
    transport.breaker = Breaker(failures=10**6)
    transport.retry_budget = RetryBudget(ratio=0.1, burst=3)
    for _ in range(30):
        await failure(example)
    assert 30 < len(server.requests) <= 30 + 3 + 3


async def test_calls_above_the_concurrency_limit_are_refused(server: UpstreamServer, binding: Binding):
    limits = Limits(read=5, pool=0.1, total=10, concurrency=4)
    example = Upstream("example", base_url=server.url, limits=limits)
    refused: list[UpstreamUnavailable] = []
    all_refused = asyncio.Event()

    async def respond_after_refusals(request, writer: asyncio.StreamWriter) -> None:
        await all_refused.wait()
        await respond()(request, writer)

    async def call() -> None:
        try:
            await example.get("/x", model=Repository)
        except UpstreamUnavailable as error:
            refused.append(error)
            if len(refused) == 12 - limits.concurrency:
                all_refused.set()

    server["/x"] = respond_after_refusals
    await asyncio.gather(*(call() for _ in range(12)))
    assert len(refused) == 12 - limits.concurrency
    assert refused[0].headers["Retry-After"] == "1"
    assert server.connections == limits.concurrency
    assert readiness() == {"example": "ok"}, "a full pool is no failure of the upstream"


@pytest.mark.requirement("PROXY-12")
async def test_the_breaker_opens_probes_with_one_call_and_closes(
    server: UpstreamServer, example: Upstream, transport: UpstreamTransport
):
    clock = Clock()
    transport.breaker = Breaker(clock=clock)
    server["/v1/x"] = respond(status=500)
    for _ in range(5):
        await failure(example)
    assert readiness() == {"example": "unavailable"}
    for _ in range(20):
        assert type(await failure(example)) is UpstreamUnavailable
    assert len(server.requests) == 5
    clock.now += 1.3
    await asyncio.gather(*(failure(example) for _ in range(10)))
    assert len(server.requests) == 6, "one of the calls was the probe"
    clock.now += 2.5
    server["/v1/x"] = respond()
    await example.get("/x", model=Repository)
    assert readiness() == {"example": "ok"}


@pytest.mark.requirement("PROXY-12")
@pytest.mark.parametrize(
    "responder",
    [
        pytest.param(raw(response_head(200, {"content-length": "100"}) + b"{"), id="incomplete"),
        pytest.param(raw(response_head(200, {}), b" ", 5.0), id="silent in the body"),
        pytest.param(raw(response_head(200, {}), *[b" ", 0.1] * 50), id="drip"),
        pytest.param(respond("<html>"), id="html"),
        pytest.param(gzipped(b" " * 100 * MB), id="gzip bomb"),
    ],
)
async def test_failures_after_the_headers_open_the_breaker(
    server: UpstreamServer, example: Upstream, transport: UpstreamTransport, responder
):
    server["/v1/x"] = responder
    transport.breaker = Breaker(failures=3)
    await asyncio.gather(*(failure(example) for _ in range(3)))
    assert readiness() == {"example": "unavailable"}
    assert type(await failure(example)) is UpstreamUnavailable


async def test_a_probe_that_times_out_doubles_the_pause(
    server: UpstreamServer, example: Upstream, transport: UpstreamTransport
):
    server["/v1/x"] = raw(response_head(200, {}), *[b" ", 0.2] * 50)
    clock = Clock()
    breaker = transport.breaker = Breaker(failures=1, clock=clock)
    breaker.start_call().failed()
    clock.now += 1.3
    assert type(await failure(example)) is GatewayTimeout
    assert (breaker.pause, breaker.state) == (2, State.OPEN)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3), ("Fri, 13 Jan 2006 00:00:00 GMT", 0), ("", None), ("soon", None), ("-1", None), ("٣", None)],
)
def test_retry_after_is_parsed(value: str, seconds: float | None):
    assert retry_after(value) == seconds


@pytest.mark.requirement("PROXY-14")
@pytest.mark.usefixtures("binding")
async def test_proxies_of_the_environment_are_ignored(
    server: UpstreamServer, example: Upstream, monkeypatch: pytest.MonkeyPatch
):
    server["/v1/x"] = respond()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setitem(os.environ, name, "http://127.0.0.1:1")
    await example.get("/x", model=Repository)
    assert len(server.requests) == 1
