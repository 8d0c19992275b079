"""One schema for a JSON body and for an HTML form."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from app.core.errors import BadRequest, UnsupportedMediaType
from app.core.schema import Input

Model = TypeVar("Model", bound=Input)
FORM = "application/x-www-form-urlencoded"


def json_or_form(model: type[Model]) -> Callable[[Request], Awaitable[Model]]:
    """Build a dependency that reads `model` from either kind of body.

    A field sent twice is refused, not decided by its place. Raises the same 422 as any other body.
    """

    async def read(request: Request) -> Model:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            if kind == "application/json":
                return model.model_validate_json(await request.body())
            if kind == FORM:
                form = (await request.form()).multi_items()
                return model.model_validate(_once(form))
        except ValidationError as error:
            raise RequestValidationError(
                [item | {"loc": ("body", *item["loc"])} for item in error.errors(include_url=False)]
            ) from error
        raise UnsupportedMediaType(f"Send application/json or {FORM}.")

    return read


def _once(fields: list[tuple[str, str | UploadFile]]) -> dict[str, str | UploadFile]:
    if len({name for name, _ in fields}) < len(fields):
        raise BadRequest("A field was sent more than once.")
    return dict(fields)


def body_of(model: type[Input]) -> dict[str, Any]:
    """`openapi_extra` for a handler that uses `json_or_form(model)`."""
    schema = {"schema": model.model_json_schema()}
    return {"requestBody": {"required": True, "content": {"application/json": schema, FORM: schema}}}
