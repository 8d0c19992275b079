"""GET /api/weather/{city}: two upstream calls behind the cache, against a server that follows a script."""

import json
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from saaskit import cache
from saaskit.ratelimit import Limit
from saaskit.settings import UpstreamSettings
from saaskit.testing import UpstreamServer, raw, reset, respond, response_head, sequence, upstream_server

from app.state import State
from tests.conftest import Browser
from tests.factories import use_up

OSLO = {"name": "Oslo", "country": "Norway", "latitude": 59.91273, "longitude": 10.74609, "id": 3143244}
CURRENT = {
    "time": "2026-11-23T14:00",
    "interval": 900,
    "temperature_2m": -1.5,
    "wind_speed_10m": 9,
    "weather_code": 71,
}
FORECAST = respond(json.dumps({"current_units": {}, "current": CURRENT}))


@pytest.fixture
async def open_meteo() -> AsyncIterator[UpstreamServer]:
    """Open-Meteo's two APIs."""
    async with upstream_server() as server:
        server["/v1/search"] = respond(json.dumps({"results": [OSLO], "generationtime_ms": 0.6}))
        server["/v1/forecast"] = FORECAST
        yield server


@pytest.fixture
def upstreams(app: FastAPI, open_meteo: UpstreamServer) -> dict[str, UpstreamSettings]:
    return dict.fromkeys(("geocoding", "weather"), UpstreamSettings(base_url=open_meteo.url))


async def test_the_weather_of_a_city(client: AsyncClient, open_meteo: UpstreamServer):
    response = await client.get("/api/weather/oslo")
    assert response.json() == {
        "city": "Oslo",
        "country": "Norway",
        "temperature": -1.5,
        "wind": 9.0,
        "code": 71,
        "measured_at": "2026-11-23T14:00:00Z",
    }
    assert open_meteo.targets() == [
        "/v1/search?name=oslo&count=1",
        "/v1/forecast?latitude=59.91&longitude=10.75&current=temperature_2m%2Cwind_speed_10m%2Cweather_code",
    ]
    assert response.headers["cache-status"] == "place; fwd=miss; stored, weather; fwd=miss; stored"
    assert response.headers["cache-control"] == "no-store"


async def test_the_second_request_is_served_from_the_cache(client: AsyncClient, open_meteo: UpstreamServer):
    for spelling in ("oslo", "Oslo", "OSLO", "oslo"):
        response = await client.get(f"/api/weather/{spelling}")
        assert response.json()["city"] == "Oslo"
    assert len(open_meteo.requests) == 2
    assert response.headers["cache-status"].startswith("weather; hit; ttl=")


@pytest.mark.requirement("PROXY-8")
async def test_the_cached_value_is_served_while_the_upstream_is_down(
    client: AsyncClient, open_meteo: UpstreamServer
):
    cached = (await client.get("/api/weather/oslo")).json()
    open_meteo["/v1/forecast"] = reset()
    for _ in range(3):
        await cache.revalidate_tag("city:oslo")
        response = await client.get("/api/weather/oslo")
        assert (response.status_code, response.json()) == (200, cached)


async def test_an_unknown_place_is_404_and_requested_once(client: AsyncClient, open_meteo: UpstreamServer):
    open_meteo["/v1/search"] = respond('{"generationtime_ms": 0.4}')
    for _ in range(3):
        response = await client.get("/api/weather/atlantis")
        assert response.status_code == 404
        assert response.json()["detail"] == "There is no place called atlantis."
    assert len(open_meteo.requests) == 1


@pytest.mark.parametrize(
    ("responder", "status"),
    [(reset(), 502), (respond("<html>"), 502), (respond(status=429, retry_after="60"), 503)],
    ids=["reset", "invalid", "busy"],
)
async def test_an_upstream_error_names_the_upstream_only(
    client: AsyncClient, open_meteo: UpstreamServer, responder, status: int
):
    open_meteo["/v1/forecast"] = responder
    response = await client.get("/api/weather/oslo")
    assert response.status_code == status
    assert "weather" in response.json()["detail"]
    assert open_meteo.url.removeprefix("http://") not in response.text
    assert "weather; fwd=miss; detail=error" in response.headers["cache-status"]


@pytest.mark.parametrize("city", ["%00", "%20", "a" * 101, "a%0D%0Ab"], ids=["nul", "blank", "long", "CRLF"])
async def test_an_invalid_name_is_422(client: AsyncClient, open_meteo: UpstreamServer, city: str):
    assert (await client.get(f"/api/weather/{city}")).status_code == 422
    assert open_meteo.requests == []


async def test_a_caller_cannot_add_query_parameters(client: AsyncClient, open_meteo: UpstreamServer):
    await client.get("/api/weather/oslo%26count=100%23x?count=100")
    assert open_meteo.targets()[0] == "/v1/search?name=oslo%26count%3D100%23x&count=1"


async def test_a_failing_upstream_makes_the_service_degraded(client: AsyncClient, open_meteo: UpstreamServer):
    open_meteo["/v1/forecast"] = respond(status=500)
    statuses = [(await client.get(f"/api/weather/{city}")).status_code for city in "abcdef"]
    assert (statuses[0], statuses[-1]) == (502, 503)
    body = (await client.get("/api/ready")).json()
    assert (body["status"], body["upstreams"]["weather"]) == ("degraded", "unavailable")
    assert body["upstreams"]["geocoding"] == "ok"


@pytest.mark.requirement("PROXY-13")
async def test_a_network_can_request_sixty_cities_a_minute(
    client: Browser, state: State, open_meteo: UpstreamServer
):
    await use_up(state, Limit("weather", max_requests=60, seconds=60), client.ip, leave=1)
    assert (await client.get("/api/weather/oslo")).status_code == 200
    response = await client.get("/api/weather/oslo")
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) > 0


@pytest.mark.requirement("PROXY-8", "PROXY-9")
@pytest.mark.parametrize(
    "responder",
    [
        pytest.param(respond(status=401), id="401"),
        pytest.param(respond(status=500), id="500"),
        pytest.param(respond(status=302, location="http://127.0.0.1:1/"), id="redirect"),
        pytest.param(respond('{"current": {}}'), id="another shape"),
        pytest.param(raw(response_head(200, {"content-length": "999"}) + b'{"current": {'), id="cut off"),
    ],
)
async def test_an_error_is_not_cached(client: AsyncClient, open_meteo: UpstreamServer, responder):
    open_meteo["/v1/forecast"] = sequence(responder, FORECAST)
    assert (await client.get("/api/weather/oslo")).status_code == 502
    assert (await client.get("/api/weather/oslo")).status_code == 200
    assert "hit" in (await client.get("/api/weather/oslo")).headers["cache-status"]


@pytest.mark.requirement("PROXY-9")
async def test_headers_and_query_parameters_do_not_reach_the_upstream_or_the_cache(
    client: AsyncClient, open_meteo: UpstreamServer
):
    names = ("x-forwarded-host", "x-original-url", "x-rewrite-url", "user-agent", "accept-language", "cookie")
    hostile = dict.fromkeys(names, "evil.example") | {"accept-encoding": "br"}
    open_meteo["/v1/forecast"] = respond(
        json.dumps({"current": CURRENT}), set_cookie="theirs=1", cache_control="public", x_theirs="1"
    )
    first = await client.request(
        "GET", "/api/weather/oslo?city=paris", headers=hostile, content=b'{"city":"x"}'
    )
    clean = await client.get("/api/weather/oslo")
    assert (first.status_code, clean.json()) == (200, first.json())
    assert "evil" not in str(open_meteo.requests)
    assert "paris" not in str(open_meteo.requests)
    for response in (first, clean):
        assert not {"set-cookie", "x-theirs"} & set(response.headers)
        assert response.headers["cache-control"] == "no-store"
