"""The audit trail on the wire."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from app.core.schema import Output, Query
from app.core.types import MAX_ID


class EventQuery(Query):
    """Which part of the trail."""

    before: Annotated[int, Field(ge=1, le=MAX_ID)] | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50


class Event(Output):
    """Something that happened to your account."""

    id: int
    at: datetime
    kind: str
    address: str
    user_agent: str
    data: dict[str, Any]


class EventList(Output):
    """Newest first; `before` of the next page is the last id."""

    items: list[Event]
