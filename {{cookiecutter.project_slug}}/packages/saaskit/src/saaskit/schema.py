"""Base classes of all request and response models."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Input", "Output", "Query", "Unset"]


class Input(BaseModel):
    """A request body, as JSON or as a form. Unknown fields are refused and values are not converted."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Query(BaseModel):
    """Query parameters. Numbers are parsed from text; unknown parameters are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Output(BaseModel):
    """A response body, read from a row or an object by attribute."""

    model_config = ConfigDict(from_attributes=True)


def _remove_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


Unset: Any = Field(default=None, json_schema_extra=_remove_default)
"""Default of a field that may be omitted but not null, as in a PATCH: `name: SingleLine = Unset`."""
