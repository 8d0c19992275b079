"""Jobs as their owner sees them. Arguments, tracebacks and workers are not for the wire."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Header
from pydantic import Field, StringConstraints, field_validator

from app.core.schema import Output, Query

State = Literal["queued", "running", "succeeded", "dead", "cancelled"]

IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=r"^[!-~]{1,255}$",
        description="Any name for this request. Sent again with the same body, it gives the same job.",
    ),
]


class Job(Output):
    """Heavy work, and how far it is. `dead` was given up after its last attempt."""

    id: UUID
    kind: str
    state: State
    progress: Annotated[int, Field(ge=0, le=100)]
    note: str
    attempts: int
    max_attempts: int
    cancel_requested: bool
    result: Any = None
    error: str | None = None
    """What went wrong in the last attempt."""
    run_after: datetime
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @field_validator("error", mode="before")
    @classmethod
    def _for_its_owner(cls, value: Any) -> Any:
        """Only messages that were written for people; of others the log has the details."""
        if isinstance(value, dict):
            return value["message"] if value.get("public") else "Something broke on our side."
        return value


class JobQuery(Query):
    """Which jobs: `?state=running&kind=build_export&cursor=…`."""

    state: State | None = None
    kind: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,60}$")] | None = None
    cursor: UUID | None = None
    """`next` of the page before."""
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class JobList(Output):
    """Jobs, newest first. `next` is the cursor of the following page, null on the last."""

    items: list[Job]
    next: UUID | None
