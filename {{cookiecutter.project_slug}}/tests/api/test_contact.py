"""POST /api/contact."""

import json
from collections.abc import Awaitable, Callable

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.contact import ContactMessage

FORM = {"name": "Ada Lindqvist", "email": "ada@Example.com", "message": "Do you ship to Oslo?"}


Send = Callable[[AsyncClient, dict], Awaitable[Response]]


async def as_json(client: AsyncClient, form: dict) -> Response:
    return await client.post("/api/contact", json=form)


async def as_form(client: AsyncClient, form: dict) -> Response:
    return await client.post("/api/contact", data=form)


async def messages(db: AsyncSession) -> list[ContactMessage]:
    return list((await db.scalars(select(ContactMessage))).all())


@pytest.mark.parametrize("send", [as_json, as_form])
async def test_json_and_a_form_do_the_same(client: AsyncClient, db: AsyncSession, send: Send, queries):
    with queries() as sent:
        answer = await send(client, FORM)
    assert (answer.status_code, len(sent)) == (201, 2)  # the message, and the job that mails it
    (stored,) = await messages(db)
    assert (stored.name, stored.email, stored.message) == (FORM["name"], "ada@example.com", FORM["message"])
    assert answer.json() == {"received_at": stored.received_at.isoformat().replace("+00:00", "Z")}


@pytest.mark.parametrize("send", [as_json, as_form])
async def test_each_wrong_field_has_its_message(client: AsyncClient, db: AsyncSession, send: Send):
    form = {"name": "", "email": "ada@", "phone": "1"}
    answer = await send(client, form)
    assert answer.status_code == 422
    fields = {error["field"]: error["message"] for error in answer.json()["errors"]}
    assert fields == {
        "name": "String should have at least 1 character",
        "email": "There must be something after the @-sign.",
        "message": "Field required",
        "phone": "Extra inputs are not permitted",
    }
    assert await messages(db) == []


async def test_a_robot_that_fills_the_hidden_field_is_not_stored(client: AsyncClient, db: AsyncSession):
    answer = await client.post("/api/contact", data=FORM | {"website": "http://spam.example"})
    assert answer.status_code == 201
    assert await messages(db) == []


async def test_a_field_sent_twice_is_refused(client: AsyncClient):
    body = b"name=Ada&name=Eve&email=ada%40example.com&message=Do+you+ship%3F+Thanks."
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert (await client.post("/api/contact", content=body, headers=kind)).status_code == 400


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "application/xml", ""])
async def test_other_kinds_are_415(client: AsyncClient, kind: str):
    answer = await client.post("/api/contact", content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "C:\\x", "a" * 300, ".htaccess", "a\u202egpj.exe", "x.svg"]
)
async def test_input_7_8_files_are_refused_whatever_their_name(
    client: AsyncClient, db: AsyncSession, name: str
):
    """No route of ours takes a file; openapi.json says so, and a form with one is no form."""
    svg = b"GIF89a<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
    answer = await client.post("/api/contact", data=FORM, files={"message": (name, svg, "image/png")})
    assert answer.status_code == 415
    assert await messages(db) == []


def test_input_7_8_no_route_takes_files(app: FastAPI):
    document = json.dumps(app.openapi())
    assert "multipart/form-data" not in document
    assert '"binary"' not in document


async def test_a_long_body_is_413(client: AsyncClient):
    answer = await client.post("/api/contact", json=FORM | {"message": "x" * 70_000})
    assert answer.status_code == 413
    assert answer.json()["title"] == "Content Too Large"
