"""The client of a request behind trusted proxies, and cookies."""

import pytest
from httpx2 import AsyncClient
from packages.saaskit.web.support import NewClient, assert_problem
from saaskit.web import ClientInfo

SPOOFED = {"x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "http"}


@pytest.mark.parametrize("trusted", ["", "10.0.0.2", "10.0.1.0/24"])
async def test_forwarded_headers_of_others_are_ignored(new_client: NewClient, trusted: str):
    async with new_client(ip="10.0.0.1", trusted_proxies=trusted) as client:
        info = (await client.get("/client", headers=SPOOFED)).json()
    assert (info["ip"], info["scheme"]) == ("10.0.0.1", "https")


@pytest.mark.parametrize(
    ("forwarded", "ip"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("1.2.3.4, 203.0.113.7", "203.0.113.7"),
        ("1.2.3.4, 203.0.113.7, 10.0.0.9", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
@pytest.mark.parametrize("trusted", ["10.0.0.0/24", "10.0.0.1,10.0.0.9"])
async def test_behind_a_trusted_proxy_the_right_most_untrusted_address_is_used(
    new_client: NewClient, trusted: str, forwarded: str, ip: str
):
    headers = {"x-forwarded-for": forwarded, "x-forwarded-proto": "http"}
    async with new_client(ip="10.0.0.1", trusted_proxies=trusted) as client:
        info = (await client.get("/client", headers=headers)).json()
    assert (info["ip"], info["scheme"]) == (ip, "http")


@pytest.mark.parametrize(
    ("sent", "kept"), [("Firefox/130", "Firefox/130"), ("a\x1b[31m b", "a[31m b"), ("x" * 300, "x" * 200)], ids=ascii
)
async def test_the_user_agent_is_printable_and_short(client: AsyncClient, sent: str, kept: str):
    assert (await client.get("/client", headers={"user-agent": sent})).json()["user_agent"] == kept


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("", "unknown"),
        ("not an address", "unknown"),
    ],
)
def test_rate_limits_count_an_ipv4_address_or_an_ipv6_network(ip: str, network: str):
    assert ClientInfo(ip, "Firefox", None).network == network


NAME = "__Host-note"


@pytest.mark.parametrize(("query", "max_age"), [("?max_age=60", "; Max-Age=60"), ("", "")])
async def test_cookies_are_bound_to_the_host_and_hidden_from_scripts(client: AsyncClient, query: str, max_age: str):
    (cookie,) = (await client.put(f"/cookie{query}")).headers.get_list("set-cookie")
    assert cookie == f"{NAME}=note-1; HttpOnly{max_age}; Path=/; SameSite=lax; Secure"


async def test_a_deleted_cookie_has_the_same_attributes(client: AsyncClient):
    (cookie,) = (await client.delete("/cookie")).headers.get_list("set-cookie")
    assert cookie.startswith(f'{NAME}=""; expires=')
    assert cookie.endswith("; HttpOnly; Max-Age=0; Path=/; SameSite=lax; Secure")


@pytest.mark.parametrize(
    ("cookies", "value"),
    [
        ([f"{NAME}=a"], "a"),
        ([f"other=1; {NAME}=a; {NAME}2=b"], "a"),
        (["other=1", f"{NAME}=a"], "a"),
        (["other=1"], None),
        ([], None),
    ],
    ids=str,
)
async def test_a_cookie_is_read(client: AsyncClient, cookies: list[str], value: str | None):
    response = await client.get("/cookie", headers=[("cookie", cookie) for cookie in cookies])
    assert (response.status_code, response.json()) == (200, value)


@pytest.mark.parametrize(
    "cookies", [[f"{NAME}=a; {NAME}=a"], [f"{NAME}=a", f"{NAME}=b"], [f"{NAME}=;{NAME}=b"]], ids=str
)
async def test_a_cookie_that_was_sent_twice_is_400(client: AsyncClient, cookies: list[str]):
    response = await client.get("/cookie", headers=[("cookie", cookie) for cookie in cookies])
    assert_problem(response, 400, f"The cookie {NAME} was sent more than once.")
