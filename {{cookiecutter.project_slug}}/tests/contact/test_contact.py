"""POST /api/contact."""

import json
from collections.abc import Awaitable, Callable

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.contact.models import ContactMessage

FORM = {"name": "Ada Lindqvist", "email": "ada@Example.com", "message": "Do you ship to Oslo?"}


Send = Callable[[AsyncClient, dict], Awaitable[Response]]


async def as_json(client: AsyncClient, form: dict) -> Response:
    return await client.post("/api/contact", json=form)


async def as_form(client: AsyncClient, form: dict) -> Response:
    return await client.post("/api/contact", data=form)


async def messages(db: AsyncSession) -> list[ContactMessage]:
    return list((await db.scalars(select(ContactMessage))).all())


@pytest.mark.parametrize("send", [as_json, as_form])
async def test_json_and_a_form_have_the_same_result(
    client: AsyncClient, db: AsyncSession, send: Send, queries
):
    with queries() as sent:
        response = await send(client, FORM)
    assert (response.status_code, len(sent)) == (201, 2)  # the message, and the job that sends it
    (stored,) = await messages(db)
    assert (stored.name, stored.email, stored.message) == (FORM["name"], "ada@example.com", FORM["message"])
    assert response.json() == {"received_at": stored.received_at.isoformat().replace("+00:00", "Z")}


@pytest.mark.parametrize("send", [as_json, as_form])
async def test_each_wrong_field_has_its_message(client: AsyncClient, db: AsyncSession, send: Send):
    form = {"name": "", "email": "ada@", "phone": "1"}
    response = await send(client, form)
    assert response.status_code == 422
    fields = {error["field"]: error["message"] for error in response.json()["errors"]}
    assert fields == {
        "name": "String should have at least 1 character",
        "email": "There must be something after the @-sign.",
        "message": "Field required",
        "phone": "Extra inputs are not permitted",
    }
    assert await messages(db) == []


async def test_a_message_with_the_hidden_field_is_not_stored(client: AsyncClient, db: AsyncSession):
    response = await client.post("/api/contact", data=FORM | {"website": "http://spam.example"})
    assert response.status_code == 201
    assert await messages(db) == []


async def test_a_network_can_send_twenty_messages_an_hour(client: AsyncClient, db: AsyncSession):
    statuses = [(await as_json(client, FORM)).status_code for _ in range(22)]
    assert statuses == [201] * 20 + [429] * 2
    assert len(await messages(db)) == 20


async def test_a_field_sent_twice_is_refused(client: AsyncClient):
    body = b"name=Ada&name=Eve&email=ada%40example.com&message=Do+you+ship%3F+Thanks."
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert (await client.post("/api/contact", content=body, headers=kind)).status_code == 400


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "application/xml", ""])
async def test_other_content_types_are_415(client: AsyncClient, kind: str):
    response = await client.post("/api/contact", content=b"{}", headers={"content-type": kind})
    assert response.status_code == 415


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "C:\\x", "a" * 300, ".htaccess", "a\u202egpj.exe", "x.svg"]
)
@pytest.mark.requirement("INPUT-7", "INPUT-8")
async def test_files_are_refused_whatever_their_name(client: AsyncClient, db: AsyncSession, name: str):
    svg = b"GIF89a<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"
    response = await client.post("/api/contact", data=FORM, files={"message": (name, svg, "image/png")})
    assert response.status_code == 415
    assert await messages(db) == []


@pytest.mark.requirement("INPUT-7", "INPUT-8")
def test_no_route_accepts_files(app: FastAPI):
    document = json.dumps(app.openapi())
    assert "multipart/form-data" not in document
    assert '"binary"' not in document


async def test_a_long_body_is_413(client: AsyncClient):
    response = await client.post("/api/contact", json=FORM | {"message": "x" * 70_000})
    assert response.status_code == 413
    assert response.json()["title"] == "Content Too Large"
