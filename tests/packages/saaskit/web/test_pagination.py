"""Pages by number with a total, and pages by cursor."""

from collections.abc import AsyncIterator
from typing import Annotated

import pytest
from fastapi import FastAPI, Query, Request, Response
from httpx2 import ASGITransport, AsyncClient
from packages.saaskit.web.support import ORIGIN, Refusals, assert_problem
from saaskit.db import create_engine, create_sessionmaker
from saaskit.schema import Output
from saaskit.types import Slug
from saaskit.web import (
    CursorPage,
    CursorQuery,
    Page,
    PageQuery,
    RequestContextMiddleware,
    cursor_page,
    paginate,
    problem_handlers,
    set_link_header,
)
from sqlalchemy import event, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from starlette.middleware import Middleware


class Base(DeclarativeBase):
    pass


class PostRow(Base):
    __tablename__ = "test_posts"
    id: Mapped[int] = mapped_column(primary_key=True)
    tag: Mapped[str]


class Post(Output):
    id: int
    tag: str


class PostQuery(PageQuery):
    tag: Slug | None = None


@pytest.fixture(scope="module")
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    """A database with posts 1 to 5; the odd ones are tagged `odd`."""
    engine = create_engine(database, pool_size=1)
    sessionmaker = create_sessionmaker(engine)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with sessionmaker.begin() as db:
        db.add_all(PostRow(id=number, tag="odd" if number % 2 else "even") for number in range(1, 6))
    yield engine
    await engine.dispose()


@pytest.fixture(scope="module")
async def client(engine: AsyncEngine) -> AsyncIterator[AsyncClient]:
    app = FastAPI(
        exception_handlers=problem_handlers(on_refusal=Refusals()), middleware=[Middleware(RequestContextMiddleware)]
    )
    sessionmaker = create_sessionmaker(engine)

    @app.get("/posts")
    async def posts(query: Annotated[PostQuery, Query()], request: Request, response: Response) -> Page[Post]:
        rows = select(PostRow).order_by(PostRow.id.desc())
        if query.tag:
            rows = rows.where(PostRow.tag == query.tag)
        async with sessionmaker() as db:
            page = await paginate(db, rows, Post, query)
        set_link_header(request, response, page)
        return page

    @app.get("/posts-by-cursor")
    async def posts_by_cursor(query: Annotated[CursorQuery, Query()]) -> CursorPage[Post]:
        rows = select(PostRow).order_by(PostRow.id.desc()).limit(query.limit + 1)
        if query.cursor:
            rows = rows.where(PostRow.id < query.cursor)
        async with sessionmaker() as db:
            return cursor_page(Post, [Post.model_validate(row) for row in await db.scalars(rows)], query.limit)

    async with AsyncClient(transport=ASGITransport(app), base_url=ORIGIN) as client:
        yield client


@pytest.fixture
def statements(engine: AsyncEngine):
    """The statements that were executed."""
    executed: list[str] = []

    def note(conn, cursor, statement, *rest) -> None:
        executed.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    yield executed
    event.remove(engine.sync_engine, "before_cursor_execute", note)


async def test_a_page_has_its_total_and_links_in_one_query(client: AsyncClient, statements: list[str]):
    response = await client.get("/posts", params={"page": 2, "per_page": 2})
    assert len(statements) == 1
    assert response.json() == {
        "items": [{"id": 3, "tag": "odd"}, {"id": 2, "tag": "even"}],
        "page": 2,
        "per_page": 2,
        "total": 5,
    }
    assert response.links == {
        "first": {"url": "?per_page=2&page=1", "rel": "first"},
        "prev": {"url": "?per_page=2&page=1", "rel": "prev"},
        "next": {"url": "?per_page=2&page=3", "rel": "next"},
        "last": {"url": "?per_page=2&page=3", "rel": "last"},
    }


async def test_links_keep_the_other_parameters(client: AsyncClient):
    response = await client.get("/posts?page=2&tag=odd&per_page=2")
    assert [post["id"] for post in response.json()["items"]] == [1]
    assert response.json()["total"] == 3
    assert set(response.links) == {"first", "prev", "last"}
    assert response.links["prev"]["url"] == "?tag=odd&per_page=2&page=1"


async def test_the_first_page_has_no_previous_one(client: AsyncClient):
    assert set((await client.get("/posts?per_page=2")).links) == {"first", "next", "last"}


async def test_an_empty_list_has_one_page(client: AsyncClient, statements: list[str]):
    response = await client.get("/posts?tag=cobol")
    assert response.json() == {"items": [], "page": 1, "per_page": 20, "total": 0}
    assert set(response.links) == {"first", "last"}
    assert len(statements) == 1


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("page=4&per_page=2", "There is no page 4; the last one is 3."),
        ("page=100000", "There is no page 100000; the last one is 1."),
        ("page=2&tag=cobol", "There is no page 2; the last one is 1."),
    ],
)
async def test_a_page_after_the_last_is_404_and_names_the_last(
    client: AsyncClient, statements: list[str], query: str, detail: str
):
    assert_problem(await client.get(f"/posts?{query}"), 404, detail)
    assert len(statements) == 2


@pytest.mark.requirement("INPUT-2")
@pytest.mark.requirement("INPUT-3")
@pytest.mark.parametrize(
    ("query", "field"),
    [
        *(("page=0", "page"), ("page=-1", "page"), ("page=two", "page"), ("page=1e9", "page"), ("page=NaN", "page")),
        *(("page=1&page=", "page"), ("page=100001", "page"), ("per_page=101", "per_page"), ("per_page=0", "per_page")),
        *(("tag=Next.js", "tag"), ("tag=%00", "tag"), ("tag=%25", "tag"), ("tag=%27%20OR%201=1--", "tag")),
        *(("limit=5", "limit"), ("sort=id;drop", "sort"), ("filter%5Bauthor_id%5D=1", "filter[author_id]")),
        ("page=1%3Bselect%20pg_sleep(5)", "page"),
    ],
)
async def test_invalid_parameters_are_422_and_named(client: AsyncClient, statements: list[str], query: str, field: str):
    (error,) = assert_problem(await client.get(f"/posts?{query}"), 422).errors
    assert (error.location, error.field) == ("query", field)
    assert statements == []


async def test_a_list_is_read_by_cursor(client: AsyncClient):
    read, query = [], "?limit=2"
    while query:
        page = (await client.get(f"/posts-by-cursor{query}")).json()
        read.append([post["id"] for post in page["items"]])
        query = page["next"] and f"?limit=2&cursor={page['next']}"
    assert read == [[5, 4], [3, 2], [1]]


@pytest.mark.parametrize(("limit", "following"), [(4, 2), (5, None), (6, None)])
async def test_the_last_page_has_no_next_one(client: AsyncClient, limit: int, following: int | None):
    page = (await client.get(f"/posts-by-cursor?limit={limit}")).json()
    assert (len(page["items"]), page["next"]) == (min(limit, 5), following)


async def test_a_cursor_before_the_first_item_gives_an_empty_page(client: AsyncClient):
    assert (await client.get("/posts-by-cursor?cursor=1")).json() == {"items": [], "next": None}


@pytest.mark.requirement("INPUT-3")
@pytest.mark.parametrize(
    ("query", "field"),
    [
        *(("limit=0", "limit"), ("limit=-1", "limit"), ("limit=101", "limit"), ("limit=1e9", "limit")),
        *(("limit=NaN", "limit"), ("limit=1&limit=1000", "limit"), ("cursor=0", "cursor"), ("cursor=x", "cursor")),
        *(("cursor=9007199254740992", "cursor"), ("offset=1", "offset"), ("sort=id", "sort"), ("page=2", "page")),
    ],
)
async def test_an_invalid_cursor_query_is_422(client: AsyncClient, query: str, field: str):
    (error,) = assert_problem(await client.get(f"/posts-by-cursor?{query}"), 422).errors
    assert (error.location, error.field) == ("query", field)
