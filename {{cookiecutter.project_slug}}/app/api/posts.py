"""/api/posts?page=2&tag=nextjs: a list driven by its query."""

from typing import Annotated

from fastapi import Query, Request, Response

from app.core.errors import NotFound
from app.core.paging import Page, link
from app.core.problems import problems
from app.deps import Db
from app.schemas.posts import Post, PostQuery
from app.services import posts
from filerouter import RouteConfig

config = RouteConfig(public=True, responses=problems(NotFound))


async def get(
    query: Annotated[PostQuery, Query()], db: Db, request: Request, response: Response
) -> Page[Post]:
    """List posts, newest first, of one tag if it is named."""
    page = await posts.browse(db, query)
    link(request, response, page)
    return page
