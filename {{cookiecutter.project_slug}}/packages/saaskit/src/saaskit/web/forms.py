"""One schema for a JSON body and for an HTML form."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from saaskit.errors import BadRequest, UnsupportedMediaType
from saaskit.schema import Input

Model = TypeVar("Model", bound=Input)
FORM_MEDIA_TYPE = "application/x-www-form-urlencoded"
MAX_FIELDS = 100
"""FastAPI's `form_limits` do not apply to a form that a dependency reads."""


def json_or_form(model: type[Model]) -> Callable[[Request], Awaitable[Model]]:
    """Return a dependency that reads `model` from a JSON body or an HTML form.

    Raises the same 422 as any other body, BadRequest for a repeated field or for too many fields, and
    UnsupportedMediaType.
    """

    async def read(request: Request) -> Model:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            if media_type == "application/json":
                return model.model_validate_json(await request.body())
            if media_type == FORM_MEDIA_TYPE:
                form = await request.form(max_fields=MAX_FIELDS)
                return model.model_validate(_unique(form.multi_items()))
        except ValidationError as error:
            raise RequestValidationError(
                [item | {"loc": ("body", *item["loc"])} for item in error.errors(include_url=False)]
            ) from error
        raise UnsupportedMediaType(f"Send application/json or {FORM_MEDIA_TYPE}.")

    return read


def _unique(fields: list[tuple[str, str | UploadFile]]) -> dict[str, str | UploadFile]:
    if len({name for name, _ in fields}) < len(fields):
        raise BadRequest("A field was sent more than once.")
    return dict(fields)


def json_or_form_body(model: type[Input]) -> dict[str, Any]:
    """Return the `openapi_extra` of a handler that uses `json_or_form(model)`."""
    schema = {"schema": model.model_json_schema()}
    content = {"application/json": schema, FORM_MEDIA_TYPE: schema}
    return {"requestBody": {"required": True, "content": content}}
