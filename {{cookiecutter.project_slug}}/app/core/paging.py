"""Numbered pages: `?page=2&per_page=20`, with a total and RFC 8288 links."""

from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import urlencode

from fastapi import Request, Response
from pydantic import Field
from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.errors import NotFound
from app.core.schema import Output, Query

Item = TypeVar("Item", bound=Output)


class PageQuery(Query):
    """Which page, and how much on it."""

    page: Annotated[int, Field(ge=1, le=100_000)] = 1
    per_page: Annotated[int, Field(ge=1, le=100)] = 20


class Page(Output, Generic[Item]):
    """One page of a list, and where it stands in the whole."""

    items: list[Item]
    page: int
    per_page: int
    total: int

    @property
    def last(self) -> int:
        """Number of the last page; an empty list has one page."""
        return max(1, -(-self.total // self.per_page))


async def paginate(db: AsyncSession, rows: Select[Any], shape: type[Item], query: PageQuery) -> Page[Item]:
    """Read one page of `rows` and their total in one query.

    A page behind the last is NotFound, which costs a second query to name the last one.
    """
    offset = (query.page - 1) * query.per_page
    found = (
        await db.execute(rows.add_columns(func.count().over()).limit(query.per_page).offset(offset))
    ).all()
    if found:
        total = found[0][-1]
    else:
        total = 0 if query.page == 1 else await db.scalar(select(func.count()).select_from(rows.subquery()))
    page = Page[shape](
        items=[shape.model_validate(row[0]) for row in found],
        page=query.page,
        per_page=query.per_page,
        total=total or 0,
    )
    if query.page > page.last:
        raise NotFound(f"There is no page {query.page}; the last one is {page.last}.")
    return page


def link(request: Request, response: Response, page: Page[Any]) -> None:
    """Name the first, previous, next and last page in the `Link` header, relative to this one (RFC 8288)."""
    numbers = {"first": 1, "prev": page.page - 1, "next": page.page + 1, "last": page.last}
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "page"]
    response.headers["Link"] = ", ".join(
        f'<?{urlencode([*kept, ("page", number)])}>; rel="{name}"'
        for name, number in numbers.items()
        if 1 <= number <= page.last
    )
