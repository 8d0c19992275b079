"""ETags for our own answers (RFC 9110 §8.8, §13): 304 for what the caller has, 412 for what has changed.

    async def get(id: Id, db: Db, http: Conditional) -> Product:
        return http.answer(await products.find(db, id))

The tag is a hash of the very JSON that is sent, so it is strong, and costs no column and no query.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, HTTPException, Request, Response
from pydantic import BaseModel

from app.core.errors import PreconditionFailed

Model = TypeVar("Model", bound=BaseModel)
_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "Not Modified: the caller has it already"}}
"""For `@operation(responses=…)` of a GET."""
PRIVATE = "private, no-cache"
Check = Callable[[BaseModel], None]
"""Raises PreconditionFailed unless the value is the one that the caller has read."""


def etag(value: BaseModel) -> str:
    """The strong tag of this representation."""
    return f'"{hashlib.blake2b(value.model_dump_json(by_alias=True).encode(), digest_size=16).hexdigest()}"'


def names(header: str, tag: str, *, weak: bool) -> bool:
    """Whether `If-Match` or, `weak`, `If-None-Match` names the tag (RFC 9110 §8.8.3.2)."""
    return header.strip() == "*" or any(
        found == tag and (weak or not prefix) for prefix, found in _TAG.findall(header)
    )


class Conditions:
    """The conditions of one request, and the headers of its answer."""

    def __init__(
        self,
        request: Request,
        response: Response,
        if_match: Annotated[str | None, Header()] = None,
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> None:
        self.response, self.if_match = response, if_match
        self.if_none_match = if_none_match if request.method in ("GET", "HEAD") else None

    def answer(self, value: Model, cache_control: str = PRIVATE) -> Model:
        """The value, with its tag; 304 instead when the caller of a GET has it already."""
        tag = etag(value)
        headers = {"ETag": tag, "Cache-Control": cache_control, "Vary": "Authorization, Cookie"}
        if self.if_none_match is not None and names(self.if_none_match, tag, weak=True):
            raise HTTPException(304, headers=headers)
        self.response.headers.update(headers)
        return value

    @property
    def check(self) -> Check | None:
        """What a change must pass first, on the locked row; None when the caller sets no condition."""
        return None if self.if_match is None else self._unchanged

    def _unchanged(self, value: BaseModel) -> None:
        if not names(self.if_match or "", etag(value), weak=False):
            raise PreconditionFailed("It has changed since you read it. Read it again.")


Conditional = Annotated[Conditions, Depends()]
"""Asked for by handlers."""
