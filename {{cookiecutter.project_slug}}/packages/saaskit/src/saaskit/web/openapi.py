"""The OpenAPI document. `openapi.json` is committed, and its diff is the review of an API change."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from saaskit.errors import title
from saaskit.web.problems import MEDIA_TYPE, ProblemDocument

FILE = Path("openapi.json")
_PROBLEM = {"$ref": "#/components/schemas/ProblemDocument"}
_DETAILS = {
    400: "The request is malformed.",
    401: "Sign in first.",
    403: "This request came from another site.",
    404: "There is no such resource.",
    405: "Method Not Allowed",
    408: "The request body took too long to arrive.",
    409: "This conflicts with existing data.",
    412: "It has changed since you read it. Read it again.",
    413: "The request body is larger than this route accepts.",
    415: "Send application/json or application/x-www-form-urlencoded.",
    422: "1 field is invalid.",
    429: "Too many requests. Try again later.",
    500: "An error occurred on our side. The log has the details.",
    502: "The upstream did not respond.",
    503: "The database does not respond. Try again in a moment.",
    504: "The upstream did not respond in time.",
}
_INVALID_FIELD = {"location": "body", "field": "email", "message": "Field required", "type": "missing"}


class DocumentedFastAPI(FastAPI):
    """FastAPI whose OpenAPI document describes errors as they are sent, and defines nothing twice."""

    def openapi(self) -> dict[str, Any]:
        """Return the document. Errors and form models are defined once and referred to."""
        document = share_error_responses(super().openapi())
        schemas = document["components"]["schemas"]
        for item in document["paths"].values():
            for operation in item.values():
                _share_body_schemas(operation, schemas)
                for parameter in operation.get("parameters", ()):
                    parameter["schema"].pop("title", None)
        for name, schema in schemas.items():
            if schema.get("title") == name:
                del schema["title"]
            for field in schema.get("properties", {}).values():
                field.pop("title", None)  # only the name again, in title case
        return document


def share_error_responses(document: dict[str, Any]) -> dict[str, Any]:
    """Replace each error response by a reference to `components/responses`. Idempotent."""
    components = document.setdefault("components", {})
    shared = components.setdefault("responses", {})
    for item in document.get("paths", {}).values():
        for method, operation in item.items():
            responses = operation.setdefault("responses", {})
            for status in _implicit_statuses(method, operation):
                responses.setdefault(status, {})
            for status in sorted(responses):
                if status.isdigit() and int(status) >= 400:
                    name = title(int(status)).replace(" ", "")
                    shared.setdefault(name, _error_response(int(status)))
                    responses[status] = {"$ref": f"#/components/responses/{name}"}
            _describe_streams(responses)
            operation["responses"] = dict(sorted(responses.items()))
    schemas = components.setdefault("schemas", {})
    if shared:
        schema = ProblemDocument.model_json_schema(
            mode="serialization", ref_template="#/components/schemas/{model}"
        )
        for name, definition in (schema.pop("$defs") | {"ProblemDocument": schema}).items():
            schemas.setdefault(name, definition)
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    return document


def _share_body_schemas(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Move models that `json_or_form_body` wrote into the operation to `components/schemas`."""
    for media in operation.get("requestBody", {}).get("content", {}).values():
        schema = media["schema"]
        if "$ref" not in schema:
            name = schema["title"]
            if schemas.setdefault(name, schema) != schema:
                raise ValueError(f"Two models are called {name}. Rename one of them.")
            media["schema"] = {"$ref": f"#/components/schemas/{name}"}


def _implicit_statuses(method: str, operation: dict[str, Any]) -> list[str]:
    """Return the errors that are sent before a handler runs."""
    statuses = ["401"] if operation.get("security") else []
    if method not in ("get", "head", "options"):
        statuses.append("403")
    return statuses + (["408", "413", "422"] if "requestBody" in operation else [])


def _error_response(status: int) -> dict[str, Any]:
    example: dict[str, Any] = {"type": "about:blank", "title": title(status), "status": status}
    if status in _DETAILS:
        example["detail"] = _DETAILS[status]
    example["request_id"] = "9f86d081884c7d65"
    if status == 422:
        example["errors"] = [_INVALID_FIELD]
    content = {MEDIA_TYPE: {"schema": _PROBLEM, "example": example}}
    return {"description": title(status), "content": content}


def _describe_streams(responses: dict[str, Any]) -> None:
    """Use `schema` for the items of an event stream: `itemSchema` is OpenAPI 3.2, and the document is 3.1."""
    for response in responses.values():
        for media in response.get("content", {}).values():
            if "itemSchema" in media:
                item = media.pop("itemSchema")
                media["schema"] = item.get("properties", {}).get("data", {}).get("contentSchema", item)


def write_or_check(app: FastAPI, arguments: Sequence[str]) -> None:
    """Write `openapi.json`, or exit with 1 if it is not current and `--check` is given."""
    current = json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"
    if "--check" not in arguments:
        FILE.write_text(current, encoding="utf-8")
        sys.stdout.write(f"{FILE} written\n")
    elif not FILE.is_file() or FILE.read_text(encoding="utf-8") != current:
        sys.exit(f"{FILE} is not current. Run `uv run python -m app.openapi` and review the diff.")
    else:
        sys.stdout.write(f"{FILE} is current\n")
