"""ETags and conditional requests (RFC 9110 §8.8, §13): 304 for an unchanged resource, 412 for a changed one.

    async def get(id: Id, db: Db, conditional: Conditional) -> Product:
        return conditional.respond(await products.get(db, id))

The tag is a hash of the JSON that is sent. It is strong, and needs no column and no query.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, HTTPException, Request, Response
from pydantic import BaseModel

from saaskit.errors import PreconditionFailed

Model = TypeVar("Model", bound=BaseModel)
Precondition = Callable[[BaseModel], None]
"""Raises PreconditionFailed unless the value is the version that the client has read."""
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "Not Modified"}}
"""For `@operation(responses=…)` of a GET."""
_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_PRIVATE = "private, no-cache"


def etag(value: BaseModel) -> str:
    """Return the strong tag of this representation."""
    return f'"{hashlib.blake2b(value.model_dump_json(by_alias=True).encode(), digest_size=16).hexdigest()}"'


def matches(header: str, tag: str, *, weak: bool) -> bool:
    """Return whether `If-Match` or, with `weak`, `If-None-Match` lists the tag (RFC 9110 §8.8.3.2)."""
    return header.strip() == "*" or any(
        found == tag and (weak or not prefix) for prefix, found in _TAG.findall(header)
    )


class ConditionalRequest:
    """The conditions of one request, and the headers of its response."""

    def __init__(
        self,
        request: Request,
        response: Response,
        if_match: Annotated[str | None, Header()] = None,
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> None:
        self.response, self.if_match = response, if_match
        self.if_none_match = if_none_match if request.method in ("GET", "HEAD") else None

    def respond(self, value: Model, cache_control: str = _PRIVATE) -> Model:
        """Return the value with its tag; 304 if the client of a GET has it already."""
        tag = etag(value)
        headers = {"ETag": tag, "Cache-Control": cache_control, "Vary": "Authorization, Cookie"}
        if self.if_none_match is not None and matches(self.if_none_match, tag, weak=True):
            raise HTTPException(304, headers=headers)
        self.response.headers.update(headers)
        return value

    @property
    def precondition(self) -> Precondition | None:
        """The check that a change must pass on the locked row; None without `If-Match`."""
        return None if self.if_match is None else self._check_unchanged

    def _check_unchanged(self, value: BaseModel) -> None:
        if not matches(self.if_match or "", etag(value), weak=False):
            raise PreconditionFailed("It has changed since you read it. Read it again.")


Conditional = Annotated[ConditionalRequest, Depends()]
"""The conditions of the request, for handlers."""
