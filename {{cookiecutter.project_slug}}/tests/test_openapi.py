"""The contract: `openapi.json` is current and says what the application does."""

import json
from pathlib import Path

from fastapi import FastAPI

ROOT = Path(__file__).parent.parent
RENEW = "run `uv run python -m app.core.openapi` and review the diff"


def test_openapi_json_is_current(app: FastAPI):
    committed = json.loads((ROOT / "openapi.json").read_text(encoding="utf-8"))
    assert committed == json.loads(json.dumps(app.openapi())), RENEW


def test_every_operation_has_a_summary_a_tag_and_problem_documents(app: FastAPI):
    for path, item in app.openapi()["paths"].items():
        for method, operation in item.items():
            where = f"{method} {path}"
            assert operation["summary"] and operation["tags"], where
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert list(response["content"]) == ["application/problem+json"], where
