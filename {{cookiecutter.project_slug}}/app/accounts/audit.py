"""The audit log: account events and refused requests."""

from typing import Any

import structlog
from saaskit.errors import DatabaseUnavailable, Problem
from saaskit.ratelimit import Limit
from saaskit.web import ClientInfo, CursorPage, CursorQuery, client_info, cursor_page
from sqlalchemy import insert, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection

from app.accounts import models, schemas
from app.state import State

log = structlog.get_logger(__name__)
REFUSALS = Limit("refused", max_requests=100, seconds=3600)
"""Refused requests per network that are stored. Further ones are only logged."""


async def record(db: AsyncSession, kind: str, client: ClientInfo, user_id: int | None, **data: Any) -> None:
    """Record an event in the caller's transaction. `data` must not contain secrets."""
    await db.execute(
        insert(models.Event).values(
            kind=kind,
            user_id=user_id,
            address=client.ip,
            user_agent=client.user_agent,
            request_id=client.request_id,
            data=data,
        )
    )


async def record_refusal(connection: HTTPConnection, error: Problem) -> None:
    """Record a refused request after its transaction was rolled back. Never raises for a lost database."""
    state: State = connection.scope["state"]
    client = client_info(connection)
    if not await state["rate_limiter"].allow(REFUSALS, client.network):
        log.warning("request refused", kind=error.event, user=error.user_id, address=client.ip)
        return
    try:
        async with state["sessionmaker"].begin() as db:
            await record(db, error.event or "", client, error.user_id)
    except (SQLAlchemyError, DatabaseUnavailable):
        log.warning("event not recorded", kind=error.event)


async def list_for_user(db: AsyncSession, user_id: int, query: CursorQuery) -> CursorPage[schemas.Event]:
    """Return a page of the user's events, newest first."""
    event = models.Event
    rows = select(event).where(event.user_id == user_id).order_by(event.id.desc()).limit(query.limit + 1)
    if query.cursor:
        rows = rows.where(event.id < query.cursor)
    found = [schemas.Event.model_validate(row) for row in await db.scalars(rows)]
    return cursor_page(schemas.Event, found, query.limit)
