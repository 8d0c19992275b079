"""ETags and conditional requests."""

import pytest
from httpx2 import AsyncClient
from packages.saaskit.web.support import assert_problem


async def test_a_representation_has_a_strong_tag(client: AsyncClient):
    response = await client.get("/notes/1")
    tag = response.headers["etag"]
    assert tag[0] == tag[-1] == '"'
    assert response.headers["cache-control"] == "private, no-cache"
    assert response.headers["vary"] == "Authorization, Cookie"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("form", ["{tag}", "W/{tag}", '"other", {tag}', '{tag},"other"', "*", " * "])
async def test_a_version_that_the_client_has_is_304(client: AsyncClient, form: str, method: str):
    tag = (await client.get("/notes/1")).headers["etag"]
    response = await client.request(method, "/notes/1", headers={"if-none-match": form.format(tag=tag)})
    assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", tag)
    assert response.headers["cache-control"] == "private, no-cache"
    assert response.headers["vary"] == "Authorization, Cookie"
    assert "content-type" not in response.headers
    assert response.headers["x-request-id"]


@pytest.mark.parametrize("form", ['"other"', "{bare}", "", '"{bare}', 'W/"other"'])
async def test_another_version_is_sent(client: AsyncClient, form: str):
    bare = (await client.get("/notes/1")).headers["etag"].strip('"')
    response = await client.get("/notes/1", headers={"if-none-match": form.format(bare=bare)})
    assert (response.status_code, response.json()["title"]) == (200, "First")


async def test_a_change_changes_the_tag(client: AsyncClient):
    tags = [(await client.get("/notes/1")).headers["etag"]]
    for title in ("Second", "Third"):
        changed = await client.patch("/notes/1", json={"title": title})
        tags.append(changed.headers["etag"])
        assert (await client.get("/notes/1")).headers["etag"] == tags[-1]
    assert len(set(tags)) == 3


async def test_the_same_content_has_the_same_tag(client: AsyncClient):
    tags = {(await client.patch("/notes/1", json={"title": "Same"})).headers["etag"] for _ in range(2)}
    assert len(tags) == 1


@pytest.mark.requirement("JOBS-9")
async def test_a_change_of_the_version_that_was_read_is_made(client: AsyncClient):
    tag = (await client.get("/notes/1")).headers["etag"]
    # If-None-Match has no meaning for a change of an existing resource.
    headers = {"if-match": f'"other", {tag}', "if-none-match": "*"}
    response = await client.patch("/notes/1", json={"title": "Second"}, headers=headers)
    assert (response.status_code, response.json()["title"]) == (200, "Second")


@pytest.mark.requirement("JOBS-9")
@pytest.mark.parametrize("form", ["{tag}", "", "W/{tag}", '"other"', "{bare}"])
async def test_a_lost_update_is_412(client: AsyncClient, form: str):
    tag = (await client.get("/notes/1")).headers["etag"]
    await client.patch("/notes/1", json={"title": "Second"})
    headers = {"if-match": form.format(tag=tag, bare=tag.strip('"'))}
    response = await client.patch("/notes/1", json={"title": "Third"}, headers=headers)
    assert_problem(response, 412, "It has changed since you read it. Read it again.")
    assert (await client.get("/notes/1")).json()["title"] == "Second"


@pytest.mark.requirement("JOBS-9")
async def test_a_weak_tag_never_matches_a_change(client: AsyncClient):
    tag = (await client.get("/notes/1")).headers["etag"]
    response = await client.patch("/notes/1", json={"title": "Second"}, headers={"if-match": f"W/{tag}"})
    assert response.status_code == 412


@pytest.mark.parametrize("headers", [{"if-match": "*"}, {}], ids=str)
async def test_a_change_without_a_version_is_made(client: AsyncClient, headers: dict[str, str]):
    assert (await client.patch("/notes/1", json={"title": "Second"}, headers=headers)).status_code == 200


async def test_a_condition_on_a_missing_resource_is_404(client: AsyncClient):
    response = await client.patch("/notes/9", json={"title": "Second"}, headers={"if-match": "*"})
    assert_problem(response, 404, "There is no note 9.")
