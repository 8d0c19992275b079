"""One schema for JSON and forms, and HTML pages."""

from pathlib import Path

import jinja2
import pytest
from httpx2 import AsyncClient
from packages.saaskit.web.support import BROWSER, FORM, JSON, assert_problem
from saaskit.web import Templates

LOGIN = {"email": "ada@example.com", "password": "four random words", "next": "/welcome"}


async def test_json_and_a_form_are_read_by_one_schema(client: AsyncClient):
    for response in (await client.post("/login", json=LOGIN), await client.post("/login", data=LOGIN)):
        assert (response.status_code, response.json()) == (200, "/welcome")


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b'{"email": "ada@example.com", "password": "x"}', "Application/JSON; charset=utf-8"),
        (b"email=ada%40example.com&password=x", "APPLICATION/x-www-form-urlencoded;charset=utf-8"),
    ],
)
async def test_content_types_may_have_parameters_and_upper_case(client: AsyncClient, content: bytes, content_type: str):
    response = await client.post("/login", content=content, headers={"content-type": content_type})
    assert (response.status_code, response.json()) == (200, "/")


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/xml", "multipart/form-data; boundary=x"])
async def test_another_content_type_is_415(client: AsyncClient, content_type: str):
    response = await client.post("/login", content=b"{}", headers={"content-type": content_type})
    assert_problem(response, 415, "Send application/json or application/x-www-form-urlencoded.")


@pytest.mark.parametrize("headers", [JSON, FORM], ids=["json", "form"])
@pytest.mark.parametrize(
    ("field", "value", "type_"),
    [
        ("email", "ada@", "value_error"),
        ("next", "//evil.example", "value_error"),
        ("next", "/" + "x" * 500, "string_too_long"),
        ("password", "nul \x00", "string_pattern_mismatch"),
        ("is_admin", "1", "extra_forbidden"),
    ],
)
async def test_an_invalid_field_is_named_as_in_any_other_body(
    client: AsyncClient, headers: dict[str, str], field: str, value: str, type_: str
):
    body = LOGIN | {field: value}
    response = await client.post("/login", **{"json" if headers is JSON else "data": body})  # type: ignore[arg-type]
    (error,) = assert_problem(response, 422, "1 field is invalid.").errors
    assert (error.location, error.field, error.type) == ("body", field, type_)
    assert "four random words" not in response.text


@pytest.mark.parametrize("body", ["email=a@example.com&email=b@example.com&password=x", "x=1&x=1"])
async def test_a_repeated_field_is_400(client: AsyncClient, body: str):
    assert_problem(await client.post("/login", content=body, headers=FORM), 400, "A field was sent more than once.")


@pytest.mark.requirement("INPUT-9")
@pytest.mark.parametrize(("count", "status"), [(100, 422), (101, 400)])
async def test_a_form_has_at_most_100_fields(client: AsyncClient, count: int, status: int):
    body = "&".join(f"field{number}=x" for number in range(count))
    assert_problem(await client.post("/login", content=body, headers=FORM), status)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"email": NaN}'])
async def test_json_that_is_no_object_is_422(client: AsyncClient, body: bytes):
    assert_problem(await client.post("/login", content=body, headers=JSON), 422)


@pytest.fixture
def templates(tmp_path: Path) -> Templates:
    (tmp_path / "page.html").write_text("<p>{{ name }}</p>")
    return Templates(tmp_path)


def test_templates_escape_values(templates: Templates):
    assert templates.render("page.html", name='<script>"&') == "<p>&lt;script&gt;&#34;&amp;</p>"


def test_a_missing_value_is_an_error(templates: Templates):
    with pytest.raises(jinja2.UndefinedError):
        templates.render("page.html")


def test_a_page_has_strict_headers_unless_it_sets_its_own(templates: Templates):
    page = templates.response("page.html", 202, {"referrer-policy": "origin"}, name="Ada")
    assert (page.status_code, page.body) == (202, b"<p>Ada</p>")
    assert page.headers["content-security-policy"] == (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


async def test_a_browser_that_sends_a_valid_form_gets_the_handlers_response(client: AsyncClient):
    response = await client.post("/login", data=LOGIN, headers=BROWSER)
    assert (response.status_code, response.json()) == (200, "/welcome")
