"""GET /api/me/events: what happened to your account."""

from typing import Annotated

from fastapi import Query

from app.deps import CurrentUser, Db
from app.schemas.events import EventList, EventQuery
from app.services import events


async def get(query: Annotated[EventQuery, Query()], user: CurrentUser, db: Db) -> EventList:
    """List what happened to your account, newest first."""
    return await events.of_user(db, user.id, query)
