"""The parents of all shapes on the wire."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Input(BaseModel):
    """What clients send as JSON or as a form: nothing unknown, nothing converted behind their back."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Query(BaseModel):
    """What stands behind the `?`: text by nature, so numbers are read from it; nothing unknown."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Output(BaseModel):
    """What we answer, read from a row or an object by attribute."""

    model_config = ConfigDict(from_attributes=True)


def _no_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


Unset: Any = Field(default=None, json_schema_extra=_no_default)
"""Default of a field that may be left out and may not be null, as in a PATCH: `name: Line = Unset`."""
