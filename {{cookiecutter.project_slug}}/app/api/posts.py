"""/api/posts?page=2&tag=nextjs: a list that its query parameters control."""

from typing import Annotated

from fastapi import Query, Request, Response
from filerouter import RouteConfig
from saaskit.errors import NotFound
from saaskit.web import Page, problems, set_link_header

from app.deps import Db
from app.posts import service as posts
from app.posts.schemas import Post, PostQuery

config = RouteConfig(public=True, responses=problems(NotFound))


async def get(
    query: Annotated[PostQuery, Query()], db: Db, request: Request, response: Response
) -> Page[Post]:
    """List posts, newest first, optionally of one tag."""
    page = await posts.list_page(db, query)
    set_link_header(request, response, page)
    return page
