"""The audit trail."""

from typing import Any

import structlog
from sqlalchemy import insert, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection

from app.core.client import Client, client_of
from app.core.errors import DatabaseUnavailable, Problem
from app.core.throttle import Limit
from app.models.events import Event as Row
from app.schemas.events import Event, EventList, EventQuery

log = structlog.get_logger(__name__)
REFUSED = Limit("refused", 100, 3600)
"""Refusals of one network that are kept; strangers cause them, and nobody deletes them. More are logged."""


async def record(db: AsyncSession, kind: str, client: Client, user_id: int | None, **data: Any) -> None:
    """Write down what happened, in the transaction in which it happens. No secrets in `data`."""
    values = {
        "kind": kind,
        "user_id": user_id,
        "address": client.address,
        "user_agent": client.user_agent,
        "request_id": client.request_id,
        "data": data,
    }
    await db.execute(insert(Row).values(values))


async def refused(connection: HTTPConnection, error: Problem) -> None:
    """Write down what was refused, after its transaction was rolled back. Never fails the answer."""
    state, client = connection.app.state, client_of(connection)
    if not await state.throttle.allows(REFUSED, client.network):
        log.warning("refused", kind=error.event, user=error.user_id, address=client.address)
        return
    try:
        async with state.sessions.begin() as db:
            await record(db, error.event or "", client, error.user_id)
    except (SQLAlchemyError, DatabaseUnavailable):
        log.warning("event lost", kind=error.event)


async def of_user(db: AsyncSession, user_id: int, query: EventQuery) -> EventList:
    """The user's own trail, newest first."""
    rows = select(Row).where(Row.user_id == user_id).order_by(Row.id.desc()).limit(query.limit)
    if query.before:
        rows = rows.where(Row.id < query.before)
    return EventList(items=[Event.model_validate(row) for row in await db.scalars(rows)])
