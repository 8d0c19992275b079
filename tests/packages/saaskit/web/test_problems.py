"""Errors as problem documents (RFC 9457), or as pages for forms that a browser sent."""

import gzip
import json
import re
from collections.abc import AsyncIterator

import pytest
from httpx2 import AsyncClient
from packages.saaskit.web.support import BROWSER, FORM, JSON, ORIGIN, NewClient, Refusals, assert_problem
from saaskit.settings import Settings
from saaskit.web import problems
from saaskit.web.problems import ProblemDocument

INTERNALS = re.compile("hunter2|secret|nowhere|RuntimeError|asyncpg|Traceback")


@pytest.mark.parametrize("path", ["/nothing", "/api", "/api/nothing", "/notes/3", "/notes/1/", "/notes//1"])
async def test_unknown_paths_are_404(client: AsyncClient, path: str):
    assert_problem(await client.get(path), 404)


@pytest.mark.parametrize(
    ("path", "detail"), [("/nothing", None), ("/notes/3", "There is no note 3.")], ids=["unknown path", "unknown note"]
)
async def test_a_detail_says_more_than_the_title_or_is_left_out(client: AsyncClient, path: str, detail: str | None):
    response = await client.get(path)
    assert_problem(response, 404)
    assert response.json().get("detail") == detail
    assert response.json()["title"] == "Not Found"
    assert response.json()["type"] == "about:blank"


@pytest.mark.requirement("CSRF-3")
@pytest.mark.requirement("HTTP-7")
@pytest.mark.parametrize("method", ["DELETE", "TRACE", "CONNECT", "BREW"])
async def test_other_methods_are_405_and_echo_nothing(client: AsyncClient, method: str):
    response = await client.request(method, "/api/health", headers={"cookie": "session=s3cret", "origin": ORIGIN})
    assert_problem(response, 405)
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"
    assert "s3cret" not in response.text


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 65536):
        yield content[start : start + 65536]


@pytest.mark.parametrize("path", ["/notes", "/refused"], ids=["a body that is read", "a body that is not read"])
@pytest.mark.requirement("INPUT-9")
async def test_a_body_with_a_length_over_the_limit_is_413(client: AsyncClient, settings: Settings, path: str):
    response = await client.post(path, content=b"x" * (settings.max_body_size + 1), headers=JSON)
    assert_problem(response, 413, "The request body is larger than this route accepts.")


@pytest.mark.requirement("INPUT-9")
async def test_a_body_without_a_length_over_the_limit_is_413(client: AsyncClient, settings: Settings):
    content = b'{"title": "' + b"x" * settings.max_body_size + b'"}'
    assert_problem(await client.post("/notes", content=_chunks(content), headers=JSON), 413)


@pytest.mark.requirement("INPUT-9")
@pytest.mark.parametrize("size", [0, 1])
async def test_the_limit_counts_the_bytes_of_the_body(client: AsyncClient, settings: Settings, size: int):
    body = b'{"title": "First"}'
    content = body + b" " * (settings.max_body_size - len(body) + size)
    assert (await client.post("/notes", content=content, headers=JSON)).status_code == (413 if size else 201)


@pytest.mark.parametrize("path", ["/bug", "/form-bug"])
async def test_a_bug_is_500_without_internals(client: AsyncClient, path: str):
    response = await client.request("POST" if path == "/form-bug" else "GET", path)
    assert_problem(response, 500, "An error occurred on our side. The log has the details.")
    assert not INTERNALS.search(response.text)


async def test_a_bug_in_sql_is_500_without_internals(new_client: NewClient, database: str):
    async with new_client(database_url=database) as client:
        response = await client.get("/bug-in-sql")
    assert_problem(response, 500, "An error occurred on our side. The log has the details.")
    assert not INTERNALS.search(response.text)


async def test_an_unavailable_database_is_503(new_client: NewClient):
    async with new_client(database_url="postgresql://app:hunter2@127.0.0.1:1/app") as client:
        response = await client.get("/database")
    assert_problem(response, 503, "The database does not respond. Try again in a moment.")
    assert response.headers["retry-after"] == "1"
    assert "hunter2" not in response.text


async def test_an_unused_database_is_not_connected_to(new_client: NewClient):
    async with new_client(database_url="postgresql://app@127.0.0.1:1/app") as client:
        assert (await client.get("/api/health")).status_code == 200


async def test_a_guarded_route_is_401_with_a_challenge(client: AsyncClient):
    response = await client.get("/api/me")
    assert_problem(response, 401, "Sign in first.")
    assert response.headers["www-authenticate"] == "Session"


async def test_an_error_with_an_audit_event_is_reported_once(client: AsyncClient, refusals: Refusals):
    assert_problem(await client.post("/refused"), 409, "This name is taken.")
    assert [(error.event, error.user_id) for error in refusals] == [("name.taken", 7)]


async def test_an_error_without_an_audit_event_is_not_reported(client: AsyncClient, refusals: Refusals):
    await client.get("/notes/3")
    assert refusals == []


@pytest.mark.parametrize(
    ("change", "field", "type_"),
    [
        ({"title": ""}, "title", "string_too_short"),
        ({"title": None}, "title", "string_type"),
        ({"title": "nul \x00"}, "title", "string_pattern_mismatch"),
        ({"title": "two\nlines"}, "title", "string_pattern_mismatch"),
        ({"title": "lone \ud800"}, "title", "string_unicode"),
        ({"title": "x" * 201}, "title", "string_too_long"),
        ({"price": 39.9}, "price", "value_error"),
        ({"price": "39.999"}, "price", "value_error"),
        ({"price": "-1"}, "price", "value_error"),
        ({"price": "NaN"}, "price", "value_error"),
        ({"stock": "3"}, "stock", "int_type"),
        ({"stock": True}, "stock", "int_type"),
        ({"stock": 3.5}, "stock", "int_type"),
        ({"stock": -1}, "stock", "greater_than_equal"),
        ({"email": "ada@"}, "email", "value_error"),
        ({"is_admin": True}, "is_admin", "extra_forbidden"),
    ],
    ids=lambda value: ascii(value)[:40],
)
async def test_an_invalid_field_is_named_and_its_value_is_not_echoed(
    client: AsyncClient, change: dict, field: str, type_: str
):
    body = {"title": "First", "password": "hunter2 hunter2"} | change
    # json.dumps escapes a lone surrogate, which UTF-8 cannot represent.
    response = await client.post("/notes", content=json.dumps(body), headers=JSON)
    document = assert_problem(response, 422, "1 field is invalid.")
    (error,) = response.json()["errors"]
    assert (error["location"], error["field"], error["type"]) == ("body", field, type_)
    assert set(error) == {"location", "field", "message", "type"}
    assert not document.errors[0].message.startswith("Value error")
    assert "hunter2" not in response.text


async def test_several_invalid_fields_are_counted(client: AsyncClient):
    response = await client.post("/notes", json={"title": "", "stock": -1})
    assert [error.field for error in assert_problem(response, 422, "2 fields are invalid.").errors] == [
        "title",
        "stock",
    ]


@pytest.mark.requirement("INPUT-1")
@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"{" * 50_000, b'{"title": NaN}', b"1e999"])
async def test_a_body_that_is_no_json_object_is_422(client: AsyncClient, body: bytes):
    assert_problem(await client.post("/notes", content=body, headers=JSON), 422)


@pytest.mark.requirement("INPUT-1")
@pytest.mark.parametrize(
    "body", [b"\xff", b"[" * 100_000, b"1" * 5000], ids=["no UTF-8", "deep nesting", "5000 digits"]
)
async def test_a_body_that_the_parser_gives_up_on_is_400(client: AsyncClient, body: bytes):
    assert_problem(await client.post("/notes", content=body, headers=JSON), 400)


@pytest.mark.requirement("INPUT-1")
@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b'{"title": "First"}', "text/plain"),
        (b'{"title": "First"}', ""),
        (b"<title/>", "application/xml"),
        (b"title=First", "application/x-www-form-urlencoded"),
        (b"--x--", "multipart/form-data; boundary=x"),
    ],
)
async def test_another_content_type_than_json_is_422(client: AsyncClient, content: bytes, content_type: str):
    response = await client.post("/notes", content=content, headers={"content-type": content_type})
    assert_problem(response, 422)


@pytest.mark.requirement("INPUT-10")
async def test_compressed_bodies_are_not_decompressed(client: AsyncClient):
    body = gzip.compress(b'{"title": "' + b"a" * 10_000_000 + b'"}')
    response = await client.post("/notes", content=body, headers=JSON | {"content-encoding": "gzip"})
    assert_problem(response, 400)


@pytest.mark.requirement("CSRF-7")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/<script>alert(1)</script>", None),
        ("GET", "/notes/<script>", None),
        ("POST", "/notes", {"title": "<script>\n"}),
        ("POST", "/notes", {"title": "First", "<script>": 1}),
    ],
)
async def test_input_is_not_reflected_as_html(client: AsyncClient, method: str, path: str, body: dict | None):
    response = await client.request(method, path, json=body, headers={"accept": "text/html"})
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        ("/login", "email=ada@example.com", 422, "password: Field required"),
        ("/form-bug", "email=ada@example.com", 500, "An error occurred on our side. The log has the details."),
        ("/refused", "email=ada@example.com", 409, "This name is taken."),
        ("/nothing", "email=ada@example.com", 404, "Not Found"),
        ("/login", "x" * 1024 * 1024 + "x", 413, "The request body is larger than this route accepts."),
    ],
    ids=["422", "500", "409", "404", "413"],
)
async def test_a_form_that_a_browser_sent_gets_a_page(
    client: AsyncClient, path: str, body: str, status: int, sentence: str
):
    response = await client.post(path, content=body, headers=FORM | BROWSER)
    assert response.status_code == status
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert f"<p>{sentence}</p>" in response.text
    # Browsers send `Origin: null` for the forms of a page with `no-referrer`.
    assert response.headers["referrer-policy"] == "strict-origin"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "script-src" not in response.headers["content-security-policy"]
    assert response.headers["x-request-id"]
    assert not INTERNALS.search(response.text)


@pytest.mark.requirement("CSRF-7")
async def test_the_page_escapes_what_the_form_sent(client: AsyncClient):
    form = {"email": "<script>", "password": "<b>", "<i>": "1"}
    response = await client.post("/login", data=form, headers=BROWSER)
    assert response.status_code == 422
    assert not re.search("<script>|<b>|<i>", response.text)
    assert "&lt;i&gt;" in response.text


@pytest.mark.parametrize("headers", [JSON | BROWSER, FORM | {"accept": "application/json"}, FORM], ids=str)
async def test_programs_get_problem_documents(client: AsyncClient, headers: dict[str, str]):
    assert_problem(await client.post("/refused", content=b"", headers=headers), 409)


def test_problems_describes_responses_by_status_or_by_class():
    from saaskit.errors import NotFound

    assert problems(400, NotFound) == {
        400: {"model": ProblemDocument, "description": "Bad Request"},
        404: {"model": ProblemDocument, "description": "Not Found"},
    }
