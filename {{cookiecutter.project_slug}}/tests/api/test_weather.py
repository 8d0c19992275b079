"""GET /api/weather/{city}: two foreign calls behind the cache, against a scripted Open-Meteo."""

import json
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from httpx2 import AsyncClient

from app.core import cache
from app.core.cache import entry
from app.core.throttle import Limit
from app.core.upstream.breaker import Breaker
from app.core.upstream.retries import Budget
from app.services import limits
from app.upstreams import weather
from tests.scripted import Scripted, answer, head, in_turn, late, raw, reset, scripted

OSLO = {"name": "Oslo", "country": "Norway", "latitude": 59.91273, "longitude": 10.74609, "id": 3143244}
NOW = {
    "time": "2026-11-23T14:00",
    "interval": 900,
    "temperature_2m": -1.5,
    "wind_speed_10m": 9,
    "weather_code": 71,
}


@pytest.fixture
async def meteo(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scripted]:
    async with scripted() as script:
        script["/v1/search"] = answer(json.dumps({"results": [OSLO], "generationtime_ms": 0.6}))
        script["/v1/forecast"] = answer(json.dumps({"current_units": {}, "current": NOW}))
        for upstream in (weather.geocoding, weather.forecasts):
            monkeypatch.setattr(upstream, "base_url", script.url)
            monkeypatch.setattr(upstream.exchange, "breaker", Breaker())
            monkeypatch.setattr(upstream.exchange, "budget", Budget())
        yield script
        for upstream in (weather.geocoding, weather.forecasts):
            await upstream.exchange.close()


async def test_the_weather_of_a_city(client: AsyncClient, meteo: Scripted):
    answer = await client.get("/api/weather/oslo")
    assert answer.json() == {
        "city": "Oslo",
        "country": "Norway",
        "temperature": -1.5,
        "wind": 9.0,
        "code": 71,
        "measured_at": "2026-11-23T14:00:00Z",
    }
    assert meteo.paths() == [
        "/v1/search?name=oslo&count=1",
        "/v1/forecast?latitude=59.91&longitude=10.75&current=temperature_2m%2Cwind_speed_10m%2Cweather_code",
    ]
    assert answer.headers["cache-status"] == "place; fwd=miss; stored, weather; fwd=miss; stored"
    assert answer.headers["cache-control"] == "no-store"


async def test_the_second_caller_is_served_from_the_cache(client: AsyncClient, meteo: Scripted):
    for spelling in ("oslo", "Oslo", "OSLO", "oslo"):
        answer = await client.get(f"/api/weather/{spelling}")
        assert answer.json()["city"] == "Oslo"
    assert len(meteo.asked) == 2
    assert answer.headers["cache-status"].startswith("weather; hit; ttl=")


async def test_proxy_8_nobody_sees_that_the_upstream_is_down(
    client: AsyncClient, meteo: Scripted, monkeypatch: pytest.MonkeyPatch
):
    fresh = (await client.get("/api/weather/oslo")).json()
    meteo["/v1/forecast"] = reset()
    for age in (61, 3601, 80_000):
        monkeypatch.setattr(entry, "time", SimpleNamespace(time=lambda age=age: time.time() + age))
        await cache.revalidate_tag("city:oslo")
        answer = await client.get("/api/weather/oslo")
        assert (answer.status_code, answer.json()) == (200, fresh)
        assert "ttl=-" in answer.headers["cache-status"]


async def test_no_such_place_is_404_and_asked_for_once(client: AsyncClient, meteo: Scripted):
    meteo["/v1/search"] = answer('{"generationtime_ms": 0.4}')
    for _ in range(3):
        found = await client.get("/api/weather/atlantis")
        assert (found.status_code, found.json()["detail"]) == (404, "There is no place called atlantis.")
    assert len(meteo.asked) == 1


@pytest.mark.parametrize(
    ("act", "status", "detail"),
    [
        (reset(), 502, "weather does not answer."),
        (answer("<html>"), 502, "weather answered something unexpected."),
        (answer(status=429, retry_after="60"), 503, "weather is busy. Try again in a moment."),
        (late(10, answer()), 504, "weather did not answer in time."),
    ],
    ids=["reset", "nonsense", "busy", "late"],
)
async def test_trouble_is_told_by_name_only(
    client: AsyncClient, meteo: Scripted, act, status: int, detail: str
):
    meteo["/v1/forecast"] = act
    answer = await client.get("/api/weather/oslo")
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)
    assert answer.headers["content-type"] == "application/problem+json"
    assert meteo.url.removeprefix("http://") not in answer.text
    assert "weather; fwd=miss; detail=error" in answer.headers["cache-status"]


@pytest.mark.parametrize("city", ["%00", "%20", "a" * 101, "a%0D%0Ab"], ids=["nul", "blank", "long", "CRLF"])
async def test_what_is_no_name_is_422(client: AsyncClient, meteo: Scripted, city: str):
    assert (await client.get(f"/api/weather/{city}")).status_code == 422
    assert meteo.asked == []


async def test_a_caller_cannot_add_to_the_query(client: AsyncClient, meteo: Scripted):
    await client.get("/api/weather/oslo%26count=100%23x?count=100")
    assert meteo.paths()[0] == "/v1/search?name=oslo%26count%3D100%23x&count=1"


async def test_an_upstream_that_fails_is_degraded_not_fatal(client: AsyncClient, meteo: Scripted):
    for _ in range(5):
        weather.forecasts.exchange.breaker.admit().failed()
    body = (await client.get("/api/ready")).json()
    assert (body["status"], body["upstreams"]["weather"]) == ("degraded", "unavailable")
    assert body["upstreams"]["geocoding"] == "ok"


async def test_proxy_13_no_network_uses_up_our_quota(
    client: AsyncClient, meteo: Scripted, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "LOOKUPS", Limit("lookups", 3, 60))
    answers = [await client.get(f"/api/weather/{city}") for city in "abcde"]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert int(answers[-1].headers["retry-after"]) > 0
    assert len(meteo.asked) == 6


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(answer(status=401), id="401"),
        pytest.param(answer(status=403), id="403"),
        pytest.param(answer(status=500), id="500"),
        pytest.param(answer(status=302, location="http://127.0.0.1:1/"), id="redirect"),
        pytest.param(answer('{"current": {}}'), id="another shape"),
        pytest.param(raw(head(200, {"content-length": "999"}) + b'{"current": {'), id="cut off"),
        pytest.param(
            raw(head(200, {"content-length": "2"}) + json.dumps({"current": NOW}).encode()), id="too short"
        ),
    ],
)
async def test_proxy_8_9_what_went_wrong_is_not_kept(client: AsyncClient, meteo: Scripted, act):
    meteo["/v1/forecast"] = in_turn(act, act, act, meteo.acts["/v1/forecast"])
    while (await client.get("/api/weather/oslo")).status_code != 200:
        assert len(meteo.asked) < 5
    assert "hit" in (await client.get("/api/weather/oslo")).headers["cache-status"]


async def test_proxy_9_what_is_no_part_of_the_key_changes_nothing(client: AsyncClient, meteo: Scripted):
    """Neither what the upstream is asked for nor what the next caller gets."""
    names = ("x-forwarded-host", "x-original-url", "x-rewrite-url", "user-agent", "accept-language", "cookie")
    hostile = dict.fromkeys(names, "evil.example") | {"accept-encoding": "br"}
    meteo["/v1/forecast"] = answer(
        json.dumps({"current": NOW}), set_cookie="theirs=1", cache_control="public", x_theirs="1"
    )
    first = await client.request(
        "GET", "/api/weather/oslo?city=paris", headers=hostile, content=b'{"city":"x"}'
    )
    clean = await client.get("/api/weather/oslo")
    assert (first.status_code, clean.json()) == (200, first.json())
    assert "evil" not in str(meteo.asked)
    assert "paris" not in str(meteo.asked)
    for response in (first, clean):
        assert not {"set-cookie", "x-theirs"} & set(response.headers)
        assert response.headers["cache-control"] == "no-store"
