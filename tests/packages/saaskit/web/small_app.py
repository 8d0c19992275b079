"""A small product: the middleware of the generated app/main.py around a few routes.

Tests call `create_app`. The wire tests start `small_app:app` with granian; its settings are the environment.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response, WebSocket
from fastapi.security import APIKeyCookie
from fastapi.sse import EventSourceResponse
from filerouter import FileRouter
from granian.utils.proxies import wrap_asgi_with_proxy_headers
from saaskit import cache
from saaskit.db import create_engine
from saaskit.errors import Conflict, NotFound, Problem, Unauthorized
from saaskit.logging import configure_logging
from saaskit.schema import Input, Output
from saaskit.settings import Settings, load_settings
from saaskit.types import Count, Email, Money, SingleLine, Text
from saaskit.web import (
    NOT_MODIFIED,
    BodyTimeoutMiddleware,
    ClientInfo,
    Conditional,
    CORSMiddleware,
    CSRFMiddleware,
    DocumentedFastAPI,
    LocalPath,
    ProblemMiddleware,
    RequestContextMiddleware,
    SecurityHeadersMiddleware,
    Templates,
    TrustedHostMiddleware,
    add_docs,
    client_info,
    delete_cookie,
    get_cookie,
    json_or_form,
    json_or_form_body,
    problem_handlers,
    problems,
    set_cookie,
)
from saaskit.web.problems import OnRefusal
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import StreamingResponse

FOLDER = Path(__file__).parent
COOKIE = "__Host-note"
templates = Templates(FOLDER / "templates")


def error_page(request: Request, status: int, sentences: list[str]) -> Response:
    return templates.response("error.html", status, sentences=sentences)


async def ignore_refusal(connection: HTTPConnection, error: Problem) -> None:
    """Wire tests look at responses only."""


class SessionCookie(APIKeyCookie):
    async def __call__(self, request: Request) -> None:  # type: ignore[override]
        raise Unauthorized("Sign in first.")


def create_app(settings: Settings, on_refusal: OnRefusal = ignore_refusal) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        engine = create_engine(settings.database_url, pool_size=1)
        async with cache.connect(settings.redis_url):
            yield {"engine": engine}
        await engine.dispose()

    frontends = settings.frontend_origins
    app = DocumentedFastAPI(
        title="Notes & more",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None if settings.production else "/openapi.json",
        form_limits={"max_fields": 100, "max_files": 10, "max_part_size": settings.max_body_size},
        responses=problems(400, 500, 503),
        redirect_slashes=False,
        exception_handlers=problem_handlers(on_refusal=on_refusal, error_page=error_page),
        middleware=[
            Middleware(wrap_asgi_with_proxy_headers, trusted_hosts=settings.trusted_proxies),
            Middleware(RequestContextMiddleware),
            Middleware(SecurityHeadersMiddleware, https=settings.production),
            *([Middleware(CORSMiddleware, origins=frontends)] if frontends else []),
            Middleware(ProblemMiddleware, error_page=error_page),
            Middleware(RequestBodyLimitMiddleware, max_body_size=settings.max_body_size),
            Middleware(TrustedHostMiddleware, hosts=settings.allowed_hosts.split(",")),
            Middleware(
                CSRFMiddleware,
                origin=settings.origin,
                frontend_origins=frontends,
                on_refusal=on_refusal,
            ),
            Middleware(BodyTimeoutMiddleware, seconds=settings.body_seconds),
        ],
    )
    if not settings.production:
        add_docs(app, header="<p>Sign in</p>", script="signIn();")
    FileRouter(FOLDER / "api", prefix="/api", guard=SessionCookie(name="__Host-session")).mount(app)
    _add_notes(app)
    _add_failures(app)
    return app


class NoteCreate(Input):
    title: SingleLine
    email: Email | None = None
    password: Text | None = None
    price: Money | None = None
    stock: Count | None = None


class Note(Output):
    id: int
    title: str


class Login(Input):
    email: Email
    password: Text
    next: LocalPath = "/"


def _add_notes(app: FastAPI) -> None:
    notes = {1: Note(id=1, title="First")}

    def find(number: int) -> Note:
        if number not in notes:
            raise NotFound(f"There is no note {number}.")
        return notes[number]

    @app.post("/notes", status_code=201)
    async def create(note: NoteCreate) -> Note:
        return Note(id=2, title=note.title)

    @app.head("/notes/{number}", include_in_schema=False)
    @app.get("/notes/{number}", responses=NOT_MODIFIED)
    async def get(number: int, conditional: Conditional) -> Note:
        return conditional.respond(find(number))

    @app.patch("/notes/{number}")
    async def update(number: int, changes: NoteCreate, conditional: Conditional) -> Note:
        note = find(number)
        if conditional.precondition:
            conditional.precondition(note)
        notes[number] = Note(id=number, title=changes.title)
        return conditional.respond(notes[number])

    @app.post("/login", openapi_extra=json_or_form_body(Login))
    async def login(form: Annotated[Login, Depends(json_or_form(Login))]) -> str:
        return form.next

    @app.get("/client")
    async def client(request: Request) -> dict[str, str | None]:
        info: ClientInfo = client_info(request)
        return {"ip": info.ip, "scheme": request.url.scheme, "user_agent": info.user_agent}

    @app.get("/cookie")
    async def read_cookie(request: Request) -> str | None:
        return get_cookie(request, COOKIE)

    @app.put("/cookie", status_code=204)
    async def write_cookie(response: Response, max_age: int | None = None) -> None:
        set_cookie(response, COOKIE, "note-1", max_age)

    @app.delete("/cookie", status_code=204)
    async def remove_cookie(response: Response) -> None:
        delete_cookie(response, COOKIE)

    @cache.cached("greeting", revalidate=60)
    async def greeting(name: str) -> str:
        return f"Hello, {name}"

    @app.get("/greeting")
    async def greet(name: str) -> str:
        return await greeting(name)

    @app.get("/events", response_class=EventSourceResponse)
    async def events() -> AsyncIterator[Note]:
        yield notes[1]

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()


def _add_failures(app: FastAPI) -> None:
    @app.get("/bug")
    async def bug() -> None:
        password = "hunter2"  # noqa: S105
        raise RuntimeError(f"{len(password)} characters are secret")

    @app.post("/form-bug")
    async def form_bug() -> None:
        raise RuntimeError("the password is hunter2")

    @app.get("/bug-in-sql")
    async def bug_in_sql(request: Request) -> None:
        engine: AsyncEngine = request.state.engine
        async with engine.connect() as connection:
            statement = text("SELECT nothing FROM nowhere WHERE password = :password")
            await connection.execute(statement, {"password": "hunter2"})

    @app.get("/bug-in-stream")
    async def bug_in_stream() -> Response:
        async def parts() -> AsyncIterator[bytes]:
            yield b"first part"
            raise RuntimeError("the password is hunter2")

        return StreamingResponse(parts())

    @app.post("/refused")
    async def refused() -> None:
        raise Conflict("This name is taken.", event="name.taken", user_id=7)

    @app.get("/database")
    async def database(request: Request) -> int:
        engine: AsyncEngine = request.state.engine
        async with engine.connect() as connection:
            return (await connection.execute(text("SELECT 1"))).scalar_one()


def __getattr__(name: str) -> FastAPI:
    if name != "app":
        raise AttributeError(name)
    settings = load_settings(Settings)
    configure_logging(settings.log_level, json=settings.production)
    return globals().setdefault("app", create_app(settings))
