"""The contract: `openapi.json` is current and describes the application."""

import json
from pathlib import Path

from fastapi import FastAPI

from app.main import create_app
from app.settings import Settings

ROOT = Path(__file__).parent.parent


def test_openapi_json_is_current():
    app = create_app(Settings(_env_file=None, environment="development"))  # type: ignore[call-arg]
    committed = json.loads((ROOT / "openapi.json").read_text(encoding="utf-8"))
    current = json.loads(json.dumps(app.openapi()))
    assert committed == current, "run `uv run python -m app.openapi` and review the diff"


def test_every_operation_has_a_summary_a_tag_and_shared_error_responses(app: FastAPI):
    for path, item in app.openapi()["paths"].items():
        for method, operation in item.items():
            name = f"{method} {path}"
            assert operation["summary"] and operation["tags"], name
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert list(response) == ["$ref"], name
