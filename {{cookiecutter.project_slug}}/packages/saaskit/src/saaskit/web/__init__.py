"""The web layer: middleware, problem documents, conditional requests, pagination, forms and pages."""

from saaskit.web.client import ClientInfo, client_info, delete_cookie, get_cookie, set_cookie
from saaskit.web.docs import add_docs
from saaskit.web.etags import NOT_MODIFIED, Conditional, Precondition
from saaskit.web.forms import json_or_form, json_or_form_body
from saaskit.web.html import Templates, prefers_html
from saaskit.web.middleware import (
    BodyTimeoutMiddleware,
    CORSMiddleware,
    CSRFMiddleware,
    ProblemMiddleware,
    RequestContextMiddleware,
    SecurityHeadersMiddleware,
    TrustedHostMiddleware,
)
from saaskit.web.openapi import DocumentedFastAPI, write_or_check
from saaskit.web.pagination import (
    CursorPage,
    CursorQuery,
    Page,
    PageQuery,
    cursor_page,
    paginate,
    set_link_header,
)
from saaskit.web.problems import problem_handlers, problems
from saaskit.web.redirects import LocalPath

__all__ = [
    "NOT_MODIFIED",
    "BodyTimeoutMiddleware",
    "CORSMiddleware",
    "CSRFMiddleware",
    "ClientInfo",
    "Conditional",
    "CursorPage",
    "CursorQuery",
    "DocumentedFastAPI",
    "LocalPath",
    "Page",
    "PageQuery",
    "Precondition",
    "ProblemMiddleware",
    "RequestContextMiddleware",
    "SecurityHeadersMiddleware",
    "Templates",
    "TrustedHostMiddleware",
    "add_docs",
    "client_info",
    "cursor_page",
    "delete_cookie",
    "get_cookie",
    "json_or_form",
    "json_or_form_body",
    "paginate",
    "prefers_html",
    "problem_handlers",
    "problems",
    "set_cookie",
    "set_link_header",
    "write_or_check",
]
