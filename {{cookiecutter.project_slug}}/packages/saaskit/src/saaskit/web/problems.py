"""Exceptions as problem documents (RFC 9457), for every error status that the application sends."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from saaskit.db import conflict_message, is_unavailable
from saaskit.errors import Conflict, DatabaseUnavailable, Problem, Unprocessable, title
from saaskit.web.html import prefers_html

MEDIA_TYPE = "application/problem+json"
log = structlog.get_logger(__name__)
OnRefusal = Callable[[HTTPConnection, Problem], Awaitable[None]]
"""Called for each error that names an audit event."""
ErrorPage = Callable[[Request, int, list[str]], Response]
"""Renders status and sentences as a page, for a form that a browser sent."""


class FieldProblem(BaseModel):
    """One invalid field, to be shown next to its input."""

    location: str = Field(examples=["body"])
    """Where it was sent: body, query, path, header or cookie."""
    field: str = Field(examples=["items.0.quantity"])
    """The field's dotted name; empty if the problem concerns the whole."""
    message: str = Field(examples=["Field required"])
    type: str = Field(examples=["missing"])
    """A stable machine-readable code, one of Pydantic's error types."""


class ProblemDocument(BaseModel):
    """The body of every response with status 400 or above (RFC 9457)."""

    type: str = Field(default="about:blank", examples=["about:blank"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str | None = Field(default=None, examples=["There is no product 7."])
    request_id: str | None = None
    """The id of this request in the logs."""
    errors: list[FieldProblem] = []


def problem_response(
    request: Request,
    status: int,
    detail: str | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    errors: list[dict[str, str]] | None = None,
    error_page: ErrorPage | None = None,
) -> Response:
    """Return the problem document, or `error_page` if a browser sent a form.

    Statuses below 400 (204, 304, redirects) have headers only.
    """
    if status < 400:
        return Response(status_code=status, headers=headers)
    if error_page and prefers_html(request):
        sentences = [
            detail or title(status),
            *(f"{error['field']}: {error['message']}" for error in errors or ()),
        ]
        page = error_page(request, status, sentences)
        page.headers.update(headers or {})
        return page
    body: dict[str, Any] = {"type": "about:blank", "title": title(status), "status": status}
    if detail and detail not in (title(status), HTTPStatus(status).phrase):
        body["detail"] = detail
    if request_id := request.scope.get("request_id"):
        body["request_id"] = request_id
    if errors:
        body["errors"] = errors
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


def problem_handlers(
    *, on_refusal: OnRefusal, error_page: ErrorPage | None = None
) -> dict[int | type[Exception], Any]:
    """Return the `exception_handlers` of an application, which turn every error into a problem document."""

    def respond(request: Request, error: Problem) -> Response:
        return problem_response(
            request,
            error.status,
            error.detail,
            headers=error.headers,
            errors=error.errors,
            error_page=error_page,
        )

    async def handle_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        if error.event:
            await on_refusal(request, error)
        return respond(request, error)

    async def handle_http_exception(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return problem_response(
            request,
            error.status_code,
            error.detail,
            headers=dict(error.headers or {}),
            error_page=error_page,
        )

    async def handle_invalid_request(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        errors = _field_problems(error)
        noun = "field is" if len(errors) == 1 else "fields are"
        return respond(request, Unprocessable(f"{len(errors)} {noun} invalid.", errors=errors))

    async def handle_database_error(request: Request, error: Exception) -> Response:
        if isinstance(error, PoolTimeout) or is_unavailable(error):
            log.warning("database unavailable", error=type(error).__name__)
            return respond(request, DatabaseUnavailable())
        if isinstance(error, IntegrityError):
            return respond(request, Conflict(conflict_message(error)))
        raise error

    return {
        Problem: handle_problem,
        HTTPException: handle_http_exception,
        RequestValidationError: handle_invalid_request,
        DBAPIError: handle_database_error,
        PoolTimeout: handle_database_error,
    }


def _field_problems(error: RequestValidationError) -> list[dict[str, str]]:
    """Name each invalid field without its value, which may be a password."""
    return [
        {
            "location": str(item["loc"][0]) if item["loc"] else "body",
            "field": ".".join(str(part) for part in item["loc"][1:]),
            "message": item["msg"].removeprefix("Value error, "),
            "type": item["type"],
        }
        for item in error.errors()
    ]


def problems(*statuses: int | type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI `responses` for a route file: `RouteConfig(responses=problems(NotFound))`."""
    codes = (status if isinstance(status, int) else status.status for status in statuses)
    return {code: {"model": ProblemDocument, "description": title(code)} for code in codes}
