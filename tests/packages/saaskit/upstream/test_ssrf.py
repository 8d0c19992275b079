"""The SSRF protection: which URLs of users are fetched. A server on loopback must not be reached."""

import asyncio

import pytest
from saaskit.errors import BadGateway, GatewayTimeout, Unprocessable
from saaskit.testing import UpstreamServer, delayed, flood, respond
from saaskit.upstream import PublicAddressBackend, fetch_public_url
from saaskit.upstream.ssrf import NOT_PUBLIC_MESSAGE, is_public

pytestmark = pytest.mark.usefixtures("binding")

LOOPBACK = [
    "127.0.0.1",
    "localhost",
    "127.1",
    "2130706433",
    "0x7f000001",
    "017700000001",
    "0",
    "0.0.0.0",  # noqa: S104
    "[::]",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "127。0。0。1",
    "ⓛocalhost",
]
PRIVATE = [
    "169.254.169.254",
    "[fd00:ec2::254]",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "[fe80::1%25eth0]",
    "[fe80::1]",
    "[2001:db8::1]",
    "[ff02::1]",
    "[2001:0:4136:e378::1]",
    "[::ffff:0:7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[fec0::1]",
    "[4000::1]",
    "[5f00::1]",
    "[3fff::1]",
    "192.88.99.1",
]


@pytest.fixture
def port(server: UpstreamServer) -> int:
    server["/"] = respond("inside")
    return int(server.url.rpartition(":")[2])


@pytest.fixture
def any_address(port: int) -> PublicAddressBackend:
    """Allow every address, so that the server on loopback stands for a public one."""
    return PublicAddressBackend(ports={port}, is_allowed=lambda address: True)


@pytest.mark.requirement("PROXY-1")
@pytest.mark.requirement("PROXY-2")
@pytest.mark.parametrize("host", LOOPBACK + PRIVATE)
async def test_no_form_of_a_private_address_is_dialled(server: UpstreamServer, port: int, host: str):
    with pytest.raises(Unprocessable) as caught:
        await fetch_public_url(f"http://{host}:{port}/", backend=PublicAddressBackend(ports={port}), timeout=5)
    assert server.connections == 0
    assert str(caught.value) == NOT_PUBLIC_MESSAGE


@pytest.mark.requirement("PROXY-1")
async def test_a_name_that_only_some_resolvers_know_is_not_dialled(server: UpstreamServer, port: int):
    with pytest.raises((Unprocessable, BadGateway)):
        await fetch_public_url(f"http://localhost.:{port}/", backend=PublicAddressBackend(ports={port}))
    assert server.connections == 0


async def test_an_allowed_address_is_fetched_without_credentials(
    server: UpstreamServer, any_address: PublicAddressBackend
):
    """The positive control of all other tests."""
    response = await fetch_public_url(server.url, backend=any_address)
    assert (response.status, response.body) == (200, b"inside")
    assert response.headers["content-type"] == "application/json"
    (request,) = server.requests
    assert {name for name, _ in request.headers} == {"host", "accept-encoding", "user-agent"}
    assert request.header("user-agent") == ["Acme-Widgets"]


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_public(address: str):
    assert is_public(address)


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_are_not_public(host: str):
    assert not is_public(host.strip("[]").replace("%25", "%"))


@pytest.mark.requirement("PROXY-4")
@pytest.mark.parametrize("number", [22, 6379, 5432, 8080])
async def test_other_ports_are_refused(number: int):
    with pytest.raises(Unprocessable, match=NOT_PUBLIC_MESSAGE):
        await fetch_public_url(f"http://1.1.1.1:{number}/")


@pytest.mark.requirement("PROXY-4")
@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "gopher://x", "ftp://x/", "unix:/tmp/x", "data:,x", "//x", "x", "", "http://", "http://a@1.1.1.1/",
     "http://1.1.1.1:99999/", "http://\x00/", "javascript:alert(1)"],
)  # fmt: skip
async def test_other_schemes_are_refused(url: str):
    with pytest.raises(Unprocessable, match=NOT_PUBLIC_MESSAGE):
        await fetch_public_url(url)


@pytest.mark.requirement("PROXY-3")
async def test_redirects_are_followed_only_if_allowed(server: UpstreamServer, any_address: PublicAddressBackend):
    server["/"], server["/next"] = respond(status=302, location="/next"), respond("target")
    with pytest.raises(BadGateway):
        await fetch_public_url(server.url, backend=any_address)
    assert (await fetch_public_url(server.url, backend=any_address, redirects=3)).body == b"target"


@pytest.mark.requirement("PROXY-3")
async def test_at_most_three_redirects_are_followed(server: UpstreamServer, any_address: PublicAddressBackend):
    server["/"] = respond(status=302, location="/")
    with pytest.raises(BadGateway):
        await fetch_public_url(server.url, backend=any_address, redirects=50)
    assert len(server.requests) == 1 + 3


@pytest.mark.requirement("PROXY-3")
@pytest.mark.parametrize("target", ["file:///etc/passwd", "gopher://x/", "http://127.0.0.1:1/", "http://a:b@x/"])
async def test_the_target_of_a_redirect_is_checked(
    server: UpstreamServer, any_address: PublicAddressBackend, target: str
):
    server["/"] = respond(status=302, location=target)
    with pytest.raises(Unprocessable):
        await fetch_public_url(server.url, backend=any_address, redirects=3)
    assert len(server.requests) == 1


@pytest.mark.requirement("PROXY-3")
async def test_a_redirect_to_a_private_address_is_refused(server: UpstreamServer, port: int):
    backend = PublicAddressBackend(ports={port}, is_allowed=lambda address: address == "127.0.0.1")
    server["/"] = respond(status=302, location=f"http://127.0.0.2:{port}/")
    with pytest.raises(Unprocessable):
        await fetch_public_url(server.url, backend=backend, redirects=3)
    assert server.connections == 1


async def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch):
    async def both(*_: object, **__: object):
        return [(0, 0, 0, "", ("1.1.1.1", 0)), (0, 0, 0, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
    with pytest.raises(Unprocessable):
        await fetch_public_url("http://rebound.example/")


@pytest.mark.requirement("PROXY-12")
async def test_a_large_response_is_refused(server: UpstreamServer, any_address: PublicAddressBackend):
    server["/"] = flood(20_000_000)
    with pytest.raises(BadGateway, match="too large"):
        await fetch_public_url(server.url, backend=any_address)


@pytest.mark.requirement("PROXY-12")
async def test_a_late_response_is_a_timeout(server: UpstreamServer, any_address: PublicAddressBackend):
    server["/"] = delayed(20, respond())
    async with asyncio.timeout(15):
        with pytest.raises(GatewayTimeout):
            await fetch_public_url(server.url, backend=any_address, timeout=0.5)


@pytest.mark.requirement("PROXY-14")
async def test_proxies_of_the_environment_are_ignored(server: UpstreamServer, monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, server.url)
    with pytest.raises(Unprocessable):
        await fetch_public_url("http://127.0.0.1/")
    assert server.connections == 0
