"""Exceptions → problem documents (RFC 9457), for every status that the application answers."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from app.core import pages
from app.core.db import conflict_message, database_is_away
from app.core.errors import Conflict, DatabaseUnavailable, Problem, Unprocessable, phrase

MEDIA_TYPE = "application/problem+json"
log = structlog.get_logger(__name__)


class FieldProblem(BaseModel):
    """What is wrong with one field, to be shown next to its input."""

    location: str = Field(examples=["body"])
    """Where it was sent: body, query, path, header or cookie."""
    field: str = Field(examples=["items.0.quantity"])
    """The field's name, dotted; empty when the whole is meant."""
    message: str = Field(examples=["Field required"])
    type: str = Field(examples=["missing"])
    """Stable machine-readable kind, one of Pydantic's error types."""


class ProblemDocument(BaseModel):
    """The body of every answer of status 400 and above (RFC 9457)."""

    type: str = Field(default="about:blank", examples=["about:blank"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str | None = Field(default=None, examples=["There is no product 7."])
    request_id: str | None = None
    """Names this request in our logs."""
    errors: list[FieldProblem] = []


def problem_response(
    request: Request,
    status: int,
    detail: str | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    errors: list[dict[str, str]] | None = None,
) -> Response:
    """Build the document, or a page for who posted a form with a browser.

    Bodiless statuses (204, 304) and redirects keep their headers only.
    """
    if status < 400:
        return Response(status_code=status, headers=headers)
    title = phrase(status)
    if pages.wanted(request):
        told = [detail or title, *(f"{error['field']}: {error['message']}" for error in errors or ())]
        return pages.refusal(request, told, status, headers)
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status}
    if detail and detail not in (title, HTTPStatus(status).phrase):
        body["detail"] = detail
    if request_id := request.scope.get("request_id"):
        body["request_id"] = request_id
    if errors:
        body["errors"] = errors
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    if error.event:
        await request.app.state.refused(request, error)
    return problem_response(request, error.status, error.detail, headers=error.headers, errors=error.errors)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem_response(request, error.status_code, error.detail, headers=dict(error.headers or {}))


async def _invalid(request: Request, error: Exception) -> Response:
    """422 that names each field and echoes nothing of what was sent: it may be a password."""
    assert isinstance(error, RequestValidationError)
    errors = [
        {
            "location": str(item["loc"][0]) if item["loc"] else "body",
            "field": ".".join(str(part) for part in item["loc"][1:]),
            "message": item["msg"].removeprefix("Value error, "),
            "type": item["type"],
        }
        for item in error.errors()
    ]
    detail = f"{len(errors)} field{'s are' if len(errors) > 1 else ' is'} not valid."
    return await _problem(request, Unprocessable(detail, errors=errors))


async def _database(request: Request, error: Exception) -> Response:
    """A server that is away is 503; a constraint that refused is 409; all else is our bug."""
    if isinstance(error, PoolTimeout) or database_is_away(error):
        log.warning("database unavailable", error=type(error).__name__)
        return await _problem(request, DatabaseUnavailable())
    if isinstance(error, IntegrityError):
        return await _problem(request, Conflict(conflict_message(error)))
    raise error


async def _bug(request: Request, error: Exception) -> Response:
    return problem_response(request, 500, "Something broke on our side. The log has the details.")


def add_problem_handlers(app: FastAPI) -> None:
    """Let every error of `app` end as a problem document."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(PoolTimeout, _database)
    app.add_exception_handler(Exception, _bug)


def problems(*statuses: int | type[Problem]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI `responses` for a route file: `RouteConfig(responses=problems(NotFound))`."""
    codes = (status if isinstance(status, int) else status.status for status in statuses)
    return {code: {"model": ProblemDocument, "description": phrase(code)} for code in codes}
