"""/api/products and /api/products/{id}."""

import json

import pytest
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts.models import User
from tests.products.factories import add_product

LAMP = {"sku": "desk-lamp", "name": "Desk lamp", "category": "home/lighting", "price": "39.90", "stock": 3}


async def test_create_then_read(signed_in_client: AsyncClient, queries):
    with queries() as sent:
        created = await signed_in_client.post("/api/products", json=LAMP)
    assert created.status_code == 201
    assert len(sent) == 2
    with queries() as sent:
        read = await signed_in_client.get(created.headers["location"])
    assert read.json() == created.json()
    assert read.json()["price"] == "39.90"
    assert len(sent) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"price": 39.9}, "price"),
        ({"price": "39.999"}, "price"),
        ({"price": "-1"}, "price"),
        ({"price": "NaN"}, "price"),
        ({"stock": "3"}, "stock"),
        ({"stock": -1}, "stock"),
        ({"name": ""}, "name"),
        ({"name": "nul \x00"}, "name"),
        ({"name": "lone \ud800"}, "name"),
        ({"sku": "Desk Lamp"}, "sku"),
        ({"category": "/lighting"}, "category"),
        ({"id": 7}, "id"),
    ],
    ids=lambda value: ascii(value),
)
async def test_invalid_fields_are_named_and_not_echoed(
    signed_in_client: AsyncClient, change: dict, field: str
):
    body = json.dumps(LAMP | change)  # escapes what UTF-8 cannot hold
    response = await signed_in_client.post(
        "/api/products", content=body, headers={"content-type": "application/json"}
    )
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["field"] == field
    assert set(error) == {"location", "field", "message", "type"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"[]", 422),
        (b"null", 422),
        (b"{", 422),
        (b"[" * 100_000, 400),
        (b"\xff", 400),
        (b'{"sku": NaN}', 422),
        (b"1" * 5000, 400),
    ],
)
async def test_a_body_that_is_no_product_is_refused(signed_in_client: AsyncClient, body: bytes, status: int):
    response = await signed_in_client.post(
        "/api/products", content=body, headers={"content-type": "application/json"}
    )
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


async def test_another_content_type_is_refused(signed_in_client: AsyncClient):
    response = await signed_in_client.post(
        "/api/products", content=b"sku=x", headers={"content-type": "text/plain"}
    )
    assert response.status_code == 422


async def test_the_sku_is_unique(signed_in_client: AsyncClient):
    await signed_in_client.post("/api/products", json=LAMP)
    response = await signed_in_client.post("/api/products", json=LAMP)
    assert response.status_code == 409
    assert response.json()["detail"] == "Another product has this SKU."


async def test_change_some_fields(signed_in_client: AsyncClient, user: User, db: AsyncSession, queries):
    lamp = await add_product(db, owner_id=user.id)
    with queries() as sent:
        response = await signed_in_client.patch(f"/api/products/{lamp.id}", json={"price": "5.00"})
    assert len(sent) == 2
    changed = response.json()
    assert (changed["price"], changed["name"]) == ("5.00", lamp.name)


@pytest.mark.parametrize("body", [{}, {"name": None}, {"sku": "other"}], ids=str)
async def test_an_update_without_a_change_is_refused(
    signed_in_client: AsyncClient, user: User, db: AsyncSession, body: dict
):
    lamp = await add_product(db, owner_id=user.id)
    assert (await signed_in_client.patch(f"/api/products/{lamp.id}", json=body)).status_code == 422


async def test_delete(signed_in_client: AsyncClient, user: User, db: AsyncSession, queries):
    lamp = await add_product(db, owner_id=user.id)
    with queries() as sent:
        response = await signed_in_client.delete(f"/api/products/{lamp.id}")
    assert (response.status_code, response.content, len(sent)) == (204, b"", 2)
    assert (await signed_in_client.get(f"/api/products/{lamp.id}")).status_code == 404


@pytest.mark.parametrize("method", ["patch", "delete"])
async def test_another_users_product_is_404_and_unchanged(
    signed_in_client: AsyncClient, db: AsyncSession, method: str
):
    lamp = await add_product(db)
    body = {"stock": 1} if method == "patch" else None
    response = await signed_in_client.request(method, f"/api/products/{lamp.id}", json=body)
    assert (response.status_code, response.json()["detail"]) == (404, f"There is no product {lamp.id}.")
    assert (await signed_in_client.get(f"/api/products/{lamp.id}")).json()["stock"] == 10


async def test_anonymous_clients_can_read_but_not_write(client: AsyncClient, db: AsyncSession):
    lamp = await add_product(db)
    path = f"/api/products/{lamp.id}"
    for method, url, body in (
        ("post", "/api/products", LAMP),
        ("patch", path, {"stock": 1}),
        ("delete", path, None),
    ):
        assert (await client.request(method, url, json=body)).status_code == 401
    assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize("method", ["get", "patch", "delete"])
async def test_an_unknown_id_is_404(signed_in_client: AsyncClient, method: str):
    body = {"stock": 1} if method == "patch" else None
    response = await signed_in_client.request(method, "/api/products/9999999", json=body)
    assert response.status_code == 404
    assert response.json()["detail"] == "There is no product 9999999."


@pytest.mark.parametrize("number", ["abc", "0", "-1", "1e3", "9" * 40, "\u0667", "%00", "7%20OR%201=1"])
async def test_an_invalid_id_is_422(client: AsyncClient, number: str):
    assert (await client.get(f"/api/products/{number}")).status_code == 422


async def test_list_by_category(client: AsyncClient, db: AsyncSession):
    await add_product(db, category="home/lighting")
    await add_product(db, category="home/lighting/outdoor")
    await add_product(db, category="home/lighting-old")
    response = await client.get("/api/products", params={"category": "home/lighting"})
    assert [item["category"] for item in response.json()["items"]] == [
        "home/lighting",
        "home/lighting/outdoor",
    ]


@pytest.mark.parametrize("category", ["%", "home/light%", "home_lighting", "' OR ''='", "home/lighting\\"])
@pytest.mark.requirement("INPUT-2")
async def test_wildcards_and_quotes_in_a_filter_are_refused(client: AsyncClient, category: str):
    response = await client.get("/api/products", params={"category": category})
    assert response.status_code == 422


async def test_an_empty_list_has_one_page(client: AsyncClient):
    response = await client.get("/api/products")
    assert response.json() == {"items": [], "page": 1, "per_page": 20, "total": 0}


async def test_an_unchanged_product_is_304(client: AsyncClient, db: AsyncSession, queries):
    lamp = await add_product(db)
    read = await client.get(f"/api/products/{lamp.id}")
    tag = read.headers["etag"]
    assert tag[0] == tag[-1] == '"'
    assert read.headers["cache-control"] == "private, no-cache"
    assert read.headers["vary"] == "Authorization, Cookie"
    for header in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        with queries() as sent:
            again = await client.get(f"/api/products/{lamp.id}", headers={"if-none-match": header})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert "content-type" not in again.headers
        assert len(sent) == 1
    for header in ('"other"', tag.strip('"'), "", f"{tag[:-2]}"):
        again = await client.get(f"/api/products/{lamp.id}", headers={"if-none-match": header})
        assert again.status_code == 200


async def test_a_change_changes_the_tag(signed_in_client: AsyncClient, user: User, db: AsyncSession):
    lamp = await add_product(db, owner_id=user.id)
    tags = [(await signed_in_client.get(f"/api/products/{lamp.id}")).headers["etag"]]
    for stock in (1, 2):
        changed = await signed_in_client.patch(f"/api/products/{lamp.id}", json={"stock": stock})
        tags.append(changed.headers["etag"])
        assert (await signed_in_client.get(f"/api/products/{lamp.id}")).headers["etag"] == tags[-1]
    assert len(set(tags)) == 3


@pytest.mark.requirement("JOBS-9")
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_lost_update_is_412(signed_in_client: AsyncClient, user: User, db: AsyncSession, method: str):
    lamp = await add_product(db, owner_id=user.id)
    url = f"/api/products/{lamp.id}"
    tag = (await signed_in_client.get(url)).headers["etag"]
    current = {"if-match": tag, "if-none-match": "*"}
    assert (await signed_in_client.patch(url, json={"stock": 1}, headers=current)).status_code == 200
    body = {"stock": 2} if method == "PATCH" else None
    for header in (tag, "", f"W/{tag}", '"other"'):
        late = await signed_in_client.request(method, url, json=body, headers={"if-match": header})
        assert (late.status_code, late.json()["detail"]) == (
            412,
            "It has changed since you read it. Read it again.",
        )
    assert (await signed_in_client.get(url)).json()["stock"] == 1
    assert (await signed_in_client.request(method, url, json=body, headers={"if-match": "*"})).is_success


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_condition_on_a_missing_product_is_404(signed_in_client: AsyncClient, method: str):
    body = {"stock": 2} if method == "PATCH" else None
    got = await signed_in_client.request(
        method, "/api/products/9999999", json=body, headers={"if-match": "*"}
    )
    assert got.status_code == 404
