"""Request and response models of exports."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from saaskit.schema import Input, Output

Resource = Literal["orders", "posts"]
"""The features whose data can be exported. Each has an `export.py`, which selects a user's rows."""


class ExportCreate(Input):
    """The data to export."""

    resource: Resource


class Export(Output):
    """An export of your data as a CSV file."""

    id: int
    resource: str
    status: Literal["pending", "ready", "failed"]
    job_id: UUID | None
    """The job that builds the file. Follow its progress at `/api/jobs/{id}/events`."""
    rows: int | None
    """The number of rows in the file, when it is ready."""
    created_at: datetime
    completed_at: datetime | None
    expires_at: datetime
    """When the export is deleted."""
