"""`connect`: upstreams take their base URL, secret and User-Agent from the settings of the application."""

import asyncio

import pytest
from pydantic import BaseModel, SecretStr
from saaskit import upstream
from saaskit.errors import BadGateway, UpstreamUnavailable
from saaskit.settings import Settings, SettingsError, UpstreamSettings
from saaskit.testing import UpstreamServer, respond
from saaskit.upstream import Upstream
from saaskit.upstream.client import user_agent


class Item(BaseModel):
    name: str = ""


def settings(product_name: str = "App", **upstreams: UpstreamSettings) -> Settings:
    return Settings(_env_file=None, environment="test", product_name=product_name, upstreams=upstreams)  # type: ignore[call-arg]


async def test_the_settings_replace_base_url_and_secret(server: UpstreamServer):
    server["/v1/x"] = server["/v2/x"] = respond()
    weather = Upstream("weather", base_url=server.url + "/v1", secret=SecretStr("declared"))
    for one in (
        settings(),
        settings(weather=UpstreamSettings(base_url=server.url + "/v2")),
        settings(weather=UpstreamSettings(secret=SecretStr("from-settings"))),
    ):
        async with upstream.connect(one):
            await weather.get("/x", model=Item)
    assert server.targets() == ["/v1/x", "/v2/x", "/v1/x"]
    secrets = [request.header("authorization") for request in server.requests]
    assert secrets == [["Bearer declared"], ["Bearer declared"], ["Bearer from-settings"]]


async def test_a_secret_may_have_a_header_of_its_own(server: UpstreamServer):
    server["/x"] = respond()
    weather = Upstream("weather", base_url=server.url, secret_in="X-Api-Key", send={"X-Version": "2"})  # noqa: S106
    async with upstream.connect(settings(weather=UpstreamSettings(secret=SecretStr("s3cret")))):
        await weather.get("/x", model=Item)
    (request,) = server.requests
    assert request.header("x-api-key") == ["s3cret"]
    assert request.header("x-version") == ["2"]
    assert request.header("authorization") == []


async def test_without_a_secret_no_credentials_are_sent(server: UpstreamServer):
    server["/x"] = respond()
    weather = Upstream("weather", base_url=server.url)
    async with upstream.connect(settings()):
        await weather.get("/x", model=Item)
    assert server.requests[0].header("authorization") == []


async def test_the_user_agent_is_the_product(server: UpstreamServer):
    server["/x"] = respond()
    weather = Upstream("weather", base_url=server.url)
    async with upstream.connect(settings("Acme Widgets")):
        await weather.get("/x", model=Item)
    assert server.requests[0].header("user-agent") == ["Acme-Widgets"]


@pytest.mark.parametrize(
    ("product_name", "token"),
    [
        ("Acme", "Acme"),
        ("Acme Widgets 2.0", "Acme-Widgets-2.0"),
        ("Café (beta)", "Cafe-beta"),
        ("a\r\nx-evil: 1", "a-x-evil-1"),
        ("日本", "App"),
        ("", "App"),
    ],
)
def test_a_user_agent_is_an_http_token(product_name: str, token: str):
    assert user_agent(product_name) == token


@pytest.mark.parametrize(
    ("name", "hint"), [("wether", "did you mean weather?"), ("x", "the names are geocoding, weather.")]
)
async def test_an_unknown_name_in_the_settings_is_refused(name: str, hint: str):
    weather, geocoding = Upstream("weather", base_url="http://x"), Upstream("geocoding", base_url="http://x")
    unknown = settings("App", **{name: UpstreamSettings()}, weather=UpstreamSettings())
    with pytest.raises(SettingsError) as caught:
        async with upstream.connect(unknown):
            pytest.fail("connected")
    assert str(caught.value) == f"UPSTREAMS__{name.upper()}: no upstream has this name; {hint}"
    async with upstream.connect(unknown, check_names=False):
        assert set(upstream.readiness()) == {weather.name, geocoding.name}


async def test_bindings_share_no_connection(server: UpstreamServer):
    server["/x"] = respond()
    weather = Upstream("weather", base_url=server.url)
    async with upstream.connect(settings()):
        await weather.get("/x", model=Item)
        async with upstream.connect(settings()):
            await weather.get("/x", model=Item)
        await weather.get("/x", model=Item)
    assert (len(server.requests), server.connections) == (3, 2)


async def test_bindings_share_no_breaker(server: UpstreamServer):
    server["/x"] = respond(status=500)
    weather = Upstream("weather", base_url=server.url)
    async with upstream.connect(settings()):
        for _ in range(5):
            with pytest.raises(BadGateway):
                await weather.get("/x", model=Item)
        with pytest.raises(UpstreamUnavailable):
            await weather.get("/x", model=Item)
        assert upstream.readiness() == {"weather": "unavailable"}
        async with upstream.connect(settings()):
            assert upstream.readiness() == {"weather": "ok"}
            server["/x"] = respond()
            await weather.get("/x", model=Item)
        assert upstream.readiness() == {"weather": "unavailable"}


async def test_calls_outside_of_a_binding_raise():
    weather = Upstream("weather", base_url="http://127.0.0.1:1")
    with pytest.raises(RuntimeError, match="connect"):
        await weather.get("/x", model=Item)
    with pytest.raises(RuntimeError, match="connect"):
        upstream.readiness()


async def test_each_thread_has_its_own_binding(server: UpstreamServer):
    server["/x"] = respond()
    weather = Upstream("weather", base_url=server.url)

    async def call_in_thread(connect: bool) -> None:
        if connect:
            async with upstream.connect(settings()):
                await weather.get("/x", model=Item)
        else:
            await weather.get("/x", model=Item)

    async with upstream.connect(settings()):
        await weather.get("/x", model=Item)
        await asyncio.to_thread(asyncio.run, call_in_thread(connect=True))
        with pytest.raises(RuntimeError, match="connect"):
            await asyncio.to_thread(asyncio.run, call_in_thread(connect=False))
        await weather.get("/x", model=Item)
    assert server.connections == 2
