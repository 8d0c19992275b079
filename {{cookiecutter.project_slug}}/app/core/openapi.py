"""The OpenAPI document. `openapi.json` is committed; its diff is the review of a change to the API.

uv run python -m app.core.openapi            write openapi.json
uv run python -m app.core.openapi --check    exit 1 when openapi.json is not current
"""

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from app.core.errors import phrase

FILE = Path("openapi.json")
_PROBLEM = {"$ref": "#/components/schemas/ProblemDocument"}


def as_problems(document: dict[str, Any]) -> dict[str, Any]:
    """Describe errors as they are sent: `application/problem+json`, 422 included. Idempotent."""
    for item in document.get("paths", {}).values():
        for method, operation in item.items():
            _add_refusals(method, operation)
            for status, response in operation.get("responses", {}).items():
                if status.isdigit() and int(status) >= 400:
                    response["content"] = {"application/problem+json": {"schema": _PROBLEM}}
    schemas = document.get("components", {}).get("schemas", {})
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    return document


def _add_refusals(method: str, operation: dict[str, Any]) -> None:
    """What is answered before a handler runs: to strangers, to foreign pages, to slow bodies."""
    codes = ["401"] if operation.get("security") else []
    codes += [] if method in ("get", "head", "options") else ["403", "408"]
    for code in codes:
        operation["responses"].setdefault(code, {"description": phrase(int(code))})


def main() -> None:
    """Write the document, or compare it."""
    os.environ.setdefault("ENVIRONMENT", "development")
    app = importlib.import_module("app.main").app
    current = json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"
    if "--check" not in sys.argv:
        FILE.write_text(current, encoding="utf-8")
        sys.stdout.write(f"{FILE} written\n")
    elif not FILE.is_file() or FILE.read_text(encoding="utf-8") != current:
        sys.exit(f"{FILE} is not current. Run `uv run python -m app.core.openapi` and review the diff.")
    else:
        sys.stdout.write(f"{FILE} is current\n")


if __name__ == "__main__":
    main()
