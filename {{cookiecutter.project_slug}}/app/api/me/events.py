"""GET /api/me/events: your audit log."""

from typing import Annotated

from fastapi import Query
from saaskit.web import CursorPage, CursorQuery

from app.accounts import audit
from app.accounts.schemas import Event
from app.deps import CurrentUser, Db


async def get(query: Annotated[CursorQuery, Query()], user: CurrentUser, db: Db) -> CursorPage[Event]:
    """List the events of your account, newest first."""
    return await audit.list_for_user(db, user.id, query)
