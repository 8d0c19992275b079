"""Which `Host` headers are accepted."""

import pytest
from packages.saaskit.web.support import NewClient, assert_problem
from saaskit.web import TrustedHostMiddleware

HOSTS = "test,api.example.com,*.apps.example.com,my_host,[::1],127.0.0.1"
DETAIL = "This host is not served here."


@pytest.mark.parametrize(
    "host",
    [
        *("test", "TEST", "Test:8443", "api.example.com", "API.Example.COM:443", "a.apps.example.com"),
        *("a.b.apps.example.com:80", "A.APPS.EXAMPLE.COM", "my_host", "[::1]", "[::1]:8000", "127.0.0.1:65535"),
    ],
)
async def test_our_hosts_are_accepted(new_client: NewClient, host: str):
    async with new_client(allowed_hosts=HOSTS) as client:
        assert (await client.get("/api/health", headers={"host": host})).status_code == 200


@pytest.mark.requirement("CSRF-5")
@pytest.mark.requirement("ACCT-1")
@pytest.mark.requirement("HTTP-4")
@pytest.mark.parametrize(
    "host",
    [
        *("evil.test", "test.evil", "test@evil.test", "test:80@evil.test", "evil.test@test", "", " ", "test,evil"),
        *("test/", "test/evil", "test?x", "test#x", "test\\evil", "test evil", "test:", "test:x", "test:80:80", ":80"),
        *(
            "test.",
            "xtest",
            "apps.example.com",
            ".apps.example.com",
            "apps.example.com.evil",
            "*",
            "*.apps.example.com",
        ),
        *("[::2]", "::1", "[::1", "[::1]evil", "[::1].apps.example.com", "%74est", "test%00", "tést".encode()),
    ],
)
async def test_other_hosts_are_400(new_client: NewClient, host: str | bytes):
    async with new_client(allowed_hosts=HOSTS) as client:
        value = host if isinstance(host, bytes) else host.encode()
        response = await client.get("/api/health/", headers={b"host": value})
    assert_problem(response, 400, DETAIL)
    assert "location" not in response.headers


@pytest.mark.parametrize("hosts", ["test,", ",test", "test,,other"])
@pytest.mark.parametrize("host", ["", "test@evil.test", "evil.test"])
async def test_an_empty_name_in_the_list_allows_no_other_host(new_client: NewClient, hosts: str, host: str):
    async with new_client(allowed_hosts=hosts) as client:
        assert_problem(await client.get("/api/health", headers={"host": host}), 400, DETAIL)


@pytest.mark.parametrize("hosts", ["test", "*"])
@pytest.mark.parametrize("values", [["test", "evil.test"], ["evil.test", "test"], ["test", "test"]], ids=str)
async def test_two_host_headers_are_400(new_client: NewClient, hosts: str, values: list[str]):
    async with new_client(allowed_hosts=hosts) as client:
        response = await client.get("/api/health", headers=[("host", value) for value in values])
    assert_problem(response, 400, DETAIL)


@pytest.mark.parametrize("host", ["evil.test", "test:80@evil.test"])
async def test_a_star_accepts_any_host(new_client: NewClient, host: str):
    async with new_client(allowed_hosts="*") as client:
        assert (await client.get("/api/health", headers={"host": host})).status_code == 200


async def test_a_trailing_slash_redirects_without_naming_the_host(new_client: NewClient):
    async with new_client() as client:
        response = await client.get("/api/health/?name=Ada", headers={"host": "evil.example"})
    assert (response.status_code, response.headers["location"]) == (308, "/api/health?name=Ada")


@pytest.mark.parametrize("host", ["api.*.example.com", "*example.com", "**", "a*"])
def test_a_wildcard_stands_for_whole_labels_at_the_start(host: str):
    async def app(scope, receive, send) -> None: ...

    with pytest.raises(ValueError, match="write a wildcard as"):
        TrustedHostMiddleware(app, hosts=["test", host])
