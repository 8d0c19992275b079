"""Pages of a list: by number with a total, or by cursor for lists that grow without bound."""

from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode

from fastapi import Request, Response
from pydantic import Field
from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from saaskit.errors import NotFound
from saaskit.schema import Output, Query
from saaskit.types import MAX_ID

Item = TypeVar("Item", bound=Output)


class PageQuery(Query):
    """Selects a page by number: `?page=2&per_page=20`."""

    page: Annotated[int, Field(ge=1, le=100_000)] = 1
    per_page: Annotated[int, Field(ge=1, le=100)] = 20


class Page(Output, Generic[Item]):
    """One page of a list, with the total number of items."""

    items: list[Item]
    page: int
    per_page: int
    total: int

    @property
    def last(self) -> int:
        """The number of the last page; an empty list has one page."""
        return max(1, -(-self.total // self.per_page))


async def paginate(db: AsyncSession, rows: Select[Any], model: type[Item], query: PageQuery) -> Page[Item]:
    """Return one page of `rows` as `model`, with the total, in one query.

    Raises NotFound for a page after the last; naming the last one costs a second query.
    """
    offset = (query.page - 1) * query.per_page
    found = (
        await db.execute(rows.add_columns(func.count().over()).limit(query.per_page).offset(offset))
    ).all()
    if found:
        total = found[0][-1]
    else:
        total = 0 if query.page == 1 else await db.scalar(select(func.count()).select_from(rows.subquery()))
    page = Page[model](
        items=[model.model_validate(row[0]) for row in found],
        page=query.page,
        per_page=query.per_page,
        total=total or 0,
    )
    if query.page > page.last:
        raise NotFound(f"There is no page {query.page}; the last one is {page.last}.")
    return page


def set_link_header(request: Request, response: Response, page: Page[Any]) -> None:
    """Link to the first, previous, next and last page, relative to this one (RFC 8288)."""
    numbers = {"first": 1, "prev": page.page - 1, "next": page.page + 1, "last": page.last}
    params = [(name, value) for name, value in request.query_params.multi_items() if name != "page"]
    response.headers["Link"] = ", ".join(
        f'<?{urlencode([*params, ("page", number)])}>; rel="{name}"'
        for name, number in numbers.items()
        if 1 <= number <= page.last
    )


class CursorQuery(Query):
    """Selects a page by cursor: `?cursor=…&limit=20`."""

    cursor: Annotated[int, Field(ge=1, le=MAX_ID)] | None = None
    """`next` of the previous page."""
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class CursorPage(Output, Generic[Item]):
    """One page of a list, newest first. `next` is the cursor of the next page, null on the last one."""

    items: list[Item]
    next: int | None


def cursor_page(model: type[Item], found: Sequence[Item], limit: int) -> CursorPage[Item]:
    """Return a page of `limit` items. `found` has one more if there is a next page; items have an `id`."""
    items = list(found[:limit])
    return CursorPage[model](items=items, next=items[-1].id if len(found) > limit else None)  # type: ignore[attr-defined]
