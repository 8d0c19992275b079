"""Exports on the wire."""

from typing import Literal

from app.core.schema import Input, Output

Resource = Literal["orders", "posts"]


class ExportCreate(Input):
    """Which list shall become a file."""

    resource: Resource


class ExportResult(Output):
    """The job's result: how many rows, and where the file is."""

    rows: int
    file: str
