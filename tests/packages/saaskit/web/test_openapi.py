"""The OpenAPI document describes errors as they are sent, and is valid."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from packages.saaskit.web.support import NewClient
from pydantic import create_model
from saaskit.errors import title
from saaskit.schema import Input
from saaskit.web import DocumentedFastAPI, json_or_form_body, write_or_check
from saaskit.web.openapi import share_error_responses


@pytest.fixture
def document(new_app) -> dict[str, Any]:
    return new_app().openapi()


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from references(part)


def resolve(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def test_the_document_is_valid(document: dict[str, Any]):
    assert document["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(document).validate()
    for reference in references(document):
        resolve(document, reference)


def test_a_document_of_an_application_that_declares_no_problems_is_valid():
    app = DocumentedFastAPI()

    @app.post("/notes")
    async def create(number: int) -> int:
        return number

    document = app.openapi()
    schemathesis.openapi.from_dict(document).validate()
    assert set(document["paths"]["/notes"]["post"]["responses"]) == {"200", "403", "422"}
    for reference in references(document):
        resolve(document, reference)


def test_every_error_response_is_a_shared_problem_document(document: dict[str, Any]):
    errors = 0
    for _, _, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                errors += 1
                shared = resolve(document, response["$ref"])
                assert shared["description"] == title(int(status))
                (media_type,) = shared["content"]
                assert media_type == "application/problem+json"
                assert shared["content"][media_type]["example"]["status"] == int(status)
    assert errors > 50


def test_examples_of_errors_are_valid_problem_documents(document: dict[str, Any]):
    from saaskit.web.problems import ProblemDocument

    for response in document["components"]["responses"].values():
        example = response["content"]["application/problem+json"]["example"]
        ProblemDocument.model_validate(example)
        assert example["title"] == response["description"]


@pytest.mark.parametrize(
    ("method", "path", "implicit"),
    [
        ("get", "/notes/{number}", set()),
        ("get", "/api/me", {"401"}),
        ("post", "/notes", {"403", "408", "413"}),
        ("patch", "/notes/{number}", {"403", "408", "413"}),
        ("delete", "/cookie", {"403"}),
    ],
)
def test_errors_that_are_sent_before_a_handler_runs_are_described(
    document: dict[str, Any], method: str, path: str, implicit: set[str]
):
    assert set(document["paths"][path][method]["responses"]) & {"401", "403", "408", "413"} == implicit


def test_fastapis_own_error_schemas_are_removed(document: dict[str, Any]):
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])


def test_an_event_stream_is_described_by_the_schema_of_its_items(document: dict[str, Any]):
    """`itemSchema` is OpenAPI 3.2."""
    content = document["paths"]["/events"]["get"]["responses"]["200"]["content"]
    assert content == {"text/event-stream": {"schema": {"$ref": "#/components/schemas/Note"}}}
    assert "itemSchema" not in json.dumps(document)


def test_not_modified_is_described(document: dict[str, Any]):
    response = document["paths"]["/notes/{number}"]["get"]["responses"]["304"]
    assert response == {"description": "Not Modified"}


def test_a_body_as_json_or_form_has_one_schema(document: dict[str, Any]):
    body = document["paths"]["/login"]["post"]["requestBody"]
    assert body["required"]
    json_body, form = body["content"]["application/json"], body["content"]["application/x-www-form-urlencoded"]
    assert json_body == form
    assert resolve(document, json_body["schema"]["$ref"])["required"] == ["email", "password"]


def test_names_of_fields_are_not_repeated_as_titles(document: dict[str, Any]):
    for schema in document["components"]["schemas"].values():
        assert not any("title" in field for field in schema.get("properties", {}).values())


def test_a_body_and_a_schema_of_the_same_name_are_refused():
    def note(field: str) -> type[Input]:
        return create_model("Note", __base__=Input, **{field: (str, ...)})  # type: ignore[call-overload]

    app = DocumentedFastAPI()
    for number, field in enumerate(("text", "title")):
        model = note(field)
        app.post(f"/{number}", openapi_extra=json_or_form_body(model))(lambda: None)
    with pytest.raises(ValueError, match="Two models are called Note"):
        app.openapi()


def test_sharing_error_responses_twice_changes_nothing(document: dict[str, Any]):
    before = copy.deepcopy(document)
    assert share_error_responses(document) == before


def test_the_document_is_the_same_each_time(new_app):
    app = new_app()
    first = json.dumps(app.openapi())
    assert json.dumps(app.openapi()) == first


async def test_the_document_is_served(new_client: NewClient, document: dict[str, Any]):
    async with new_client() as client:
        assert (await client.get("/openapi.json")).json() == document


async def test_the_documentation_uses_files_of_its_own_only(new_client: NewClient):
    async with new_client() as client:
        assert (await client.get("/")).headers["location"] == "/docs"
        page = await client.get("/docs")
        script = await client.get("/docs/start.js")
        bundle = await client.get("/docs/assets/swagger-ui-bundle.js")
    assert "<title>Notes &amp; more</title>" in page.text
    assert "<p>Sign in</p>" in page.text
    assert "//" not in page.text
    assert "script-src 'self';" in page.headers["content-security-policy"]
    assert script.headers["content-type"].startswith("text/javascript")
    assert '"/openapi.json"' in script.text and script.text.endswith("signIn();")
    assert bundle.status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/docs/start.js", "/openapi.json", "/redoc", "/docs/assets/swagger-ui.css"]
)
async def test_production_serves_neither(new_client: NewClient, path: str):
    async with new_client(environment="production") as client:
        assert (await client.get(path)).status_code == 404


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """An application, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return DocumentedFastAPI(title="Größe")


def test_openapi_json_is_written_and_checked(app: FastAPI, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_or_check(app, [])
    assert json.loads((tmp_path / "openapi.json").read_text(encoding="utf-8")) == app.openapi()
    assert "Größe" in (tmp_path / "openapi.json").read_text(encoding="utf-8")
    write_or_check(app, ["--check"])
    assert capsys.readouterr().out == "openapi.json written\nopenapi.json is current\n"


@pytest.mark.parametrize("content", [None, "", "{}\n"])
def test_an_openapi_json_that_is_not_current_ends_the_check(app: FastAPI, tmp_path: Path, content: str | None):
    if content is not None:
        (tmp_path / "openapi.json").write_text(content)
    with pytest.raises(SystemExit, match=r"openapi\.json is not current"):
        write_or_check(app, ["--check"])
