"""The SSRF guard: what a user's URL may reach. A listener on loopback must see nothing."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from app.core.errors import Unprocessable, UpstreamFailed, UpstreamLate
from app.core.upstream.guard import PublicOnly, is_public
from app.core.upstream.outside import REFUSAL, fetch
from tests.scripted import Scripted, answer, flood, in_turn, late, scripted

LOOPBACK = [
    "127.0.0.1",
    "localhost",
    "127.1",
    "2130706433",
    "0x7f000001",
    "017700000001",
    "0",
    "0.0.0.0",
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
async def script() -> AsyncIterator[Scripted]:
    async with scripted() as script:
        script["/"] = answer("inside")
        yield script


def port(script: Scripted) -> int:
    return int(script.url.rpartition(":")[2])


@pytest.mark.parametrize("host", LOOPBACK + PRIVATE)
async def test_proxy_1_2_no_form_of_a_private_address_is_dialled(script: Scripted, host: str):
    with pytest.raises(Unprocessable) as caught:
        await fetch(f"http://{host}:{port(script)}/", guard=PublicOnly(ports={port(script)}), total=5)
    assert script.connections == 0
    assert str(caught.value) == REFUSAL


async def test_proxy_1_a_name_that_some_resolvers_know_is_not_dialled(script: Scripted):
    with pytest.raises((Unprocessable, UpstreamFailed)):
        await fetch(f"http://localhost.:{port(script)}/", guard=PublicOnly(ports={port(script)}))
    assert script.connections == 0


async def test_the_listener_is_there(script: Scripted):
    """The positive control of all the others: without the judge it is reached."""
    guard = PublicOnly(ports={port(script)}, judge=lambda address: True)
    assert (await fetch(script.url, guard=guard)).body == b"inside"
    (asked,) = script.asked
    assert {name for name, _ in asked.headers} == {"host", "accept-encoding", "user-agent"}


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_public(address: str):
    assert is_public(address)


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_are_not(host: str):
    assert not is_public(host.strip("[]").replace("%25", "%"))


@pytest.mark.parametrize("number", [22, 6379, 5432, 8080])
async def test_proxy_4_other_ports_are_refused(number: int):
    with pytest.raises(Unprocessable, match=REFUSAL):
        await fetch(f"http://1.1.1.1:{number}/")


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "gopher://x", "ftp://x/", "unix:/tmp/x", "data:,x", "//x", "x", "", "http://", "http://a@1.1.1.1/",
     "http://1.1.1.1:99999/", "http://\x00/", "javascript:alert(1)"],
)  # fmt: skip
async def test_proxy_4_other_schemes_are_refused(url: str):
    with pytest.raises(Unprocessable, match=REFUSAL):
        await fetch(url)


async def test_proxy_3_redirects_are_followed_only_when_allowed_and_checked_again(script: Scripted):
    guard = PublicOnly(ports={port(script)}, judge=lambda address: True)
    script["/"] = in_turn(answer(status=302, location="/next"), answer(status=302, location="/next"))
    script["/next"] = answer("there")
    with pytest.raises(UpstreamFailed):
        await fetch(script.url, guard=guard)
    assert (await fetch(script.url, guard=guard, redirects=3)).body == b"there"
    script["/"] = answer(status=302, location="/")
    asked = len(script.asked)
    with pytest.raises(UpstreamFailed):
        await fetch(script.url, guard=guard, redirects=50)
    assert len(script.asked) - asked == 1 + 3
    for target in (
        "file:///etc/passwd",
        "gopher://x/",
        f"http://127.0.0.1:{port(script) + 1}/",
        "http://a:b@x/",
    ):
        script["/"] = answer(status=302, location=target)
        with pytest.raises(Unprocessable):
            await fetch(script.url, guard=guard, redirects=3)


async def test_proxy_3_a_redirect_to_a_private_address_is_judged(script: Scripted):
    """The first hop is let through by name; the second goes to another private address."""
    guard = PublicOnly(ports={port(script)}, judge=lambda address: address == "127.0.0.1")
    script["/"] = answer(status=302, location=f"http://127.0.0.2:{port(script)}/")
    with pytest.raises(Unprocessable):
        await fetch(script.url, guard=guard, redirects=3)
    assert script.connections == 1


async def test_a_name_with_one_private_address_is_refused(script: Scripted, monkeypatch: pytest.MonkeyPatch):
    async def both(*_: object, **__: object):
        return [(0, 0, 0, "", ("1.1.1.1", 0)), (0, 0, 0, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
    with pytest.raises(Unprocessable):
        await fetch("http://rebound.example/")


async def test_proxy_12_bounds_hold_outside_too(script: Scripted):
    guard = PublicOnly(ports={port(script)}, judge=lambda address: True)
    script["/"] = flood(20_000_000)
    with pytest.raises(UpstreamFailed, match="more than may be read"):
        await fetch(script.url, guard=guard)
    script["/"] = late(20, answer())
    started = time.monotonic()
    with pytest.raises(UpstreamLate):
        await fetch(script.url, guard=guard, total=0.5)
    assert time.monotonic() - started < 3


async def test_proxy_14_the_environment_names_no_proxy(script: Scripted, monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, script.url)
    with pytest.raises(Unprocessable):
        await fetch("http://127.0.0.1/")
    assert script.connections == 0
