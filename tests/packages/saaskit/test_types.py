"""The field types of schemas."""

from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter, ValidationError
from saaskit.schema import Input, Output, Query, Unset
from saaskit.types import MAX_ID, AccountEmail, BodyId, Count, Email, Id, IntegralFloat, Money, SingleLine, Slug, Text
from saaskit.web import LocalPath


def accepts(type_: Any, value: object) -> bool:
    try:
        TypeAdapter(type_).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


@pytest.mark.requirement("SIGNUP-3")
@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("ada@example.com", "ada@example.com"),
        ("Ada@Example.COM", "ada@example.com"),
        ("ada@\uff25\uff38\uff21\uff2d\uff30\uff2c\uff25.com", "ada@example.com"),  # fullwidth letters
        ("ada@bücher.example.com", "ada@xn--bcher-kva.example.com"),
        ("ada@XN--BCHER-KVA.example.com", "ada@xn--bcher-kva.example.com"),
        ("ada+tag@example.com", "ada+tag@example.com"),
    ],
)
def test_all_spellings_of_an_email_address_are_one_account(sent: str, stored: str):
    assert TypeAdapter(AccountEmail).validate_python(sent) == stored


@pytest.mark.requirement("SIGNUP-4")
@pytest.mark.parametrize(
    "sent",
    [
        *("a@example.com\r\nBcc: m@evil.example", "a@example.com,m@evil.example", '"<m@evil.example> a"@example.com'),
        *("<a@example.com>", "a@example.com\x00", "a@exa mple.com", "@example.com", "a" * 300 + "@example.com"),
        *("a@", "a", "", " a@example.com", "a@example.com ", "a@localhost", "a@[127.0.0.1]", "a@example..com"),
    ],
)
@pytest.mark.parametrize("type_", [Email, AccountEmail], ids=["Email", "AccountEmail"])
def test_anything_but_one_email_address_is_refused(type_: Any, sent: str):
    assert not accepts(type_, sent)


def test_an_account_needs_an_ascii_local_part():
    """A domain has one ASCII form; a local part has none."""
    assert accepts(Email, "ä@example.com")
    assert not accepts(AccountEmail, "ä@example.com")


@pytest.mark.requirement("OIDC-11")
@pytest.mark.parametrize("path", ["/", "/welcome", "/welcome?tab=1&next=//x", "/a/../b#part", "/" + "x" * 499])
def test_local_paths_are_accepted(path: str):
    assert accepts(LocalPath, path)


@pytest.mark.requirement("OIDC-11")
@pytest.mark.parametrize(
    "path",
    [
        *("https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example", "evil"),
        *("javascript:alert(1)", "/a\r\nset-cookie: x=y", "http:/evil.example", "/%00\x00", " /x", "///evil.example"),
        *("", "/x y", "/\u202eevil", "/" + "x" * 500),
    ],
)
def test_paths_that_may_leave_our_origin_are_refused(path: str):
    assert not accepts(LocalPath, path)


@pytest.mark.parametrize(
    ("type_", "accepted", "refused"),
    [
        (Text, ["", "a\tb\r\nc", "ä🦜"], ["\x00", "\x08", "\x0b", "\x1b[31m", "\x7f", "\ud800", 1, None]),
        (SingleLine, ["a", "a b", "x" * 200], ["", " a", "a ", "a\nb", "a\tb", "a\x00", "\x7f", "x" * 201]),
        (Slug, ["a", "a-b-2", "x" * 60], ["", "A", "-a", "a-", "a--b", "a_b", "ä", "a/b", "a\n", "x" * 61]),
        (Money, ["0", "19.90", "9999999999.99"], [19.9, 19, "19.999", "-1", "NaN", "1e3", "+1", "", "1,5", "1" * 11]),
        (BodyId, [1, MAX_ID, 7.0], [0, -1, MAX_ID + 1, 7.5, "7", True]),
        (Count, [0, 1_000_000, 7.0], [-1, 1_000_001, 7.5, "7", True, float("nan"), float("inf")]),
        (Id, [1, MAX_ID], []),
        (Annotated[int, Field(ge=1), IntegralFloat], [78, 78.0], [0, 78.5, "78", True, 1e400]),
    ],
    ids=["Text", "SingleLine", "Slug", "Money", "BodyId", "Count", "Id", "IntegralFloat"],
)
def test_each_type_accepts_and_refuses(type_: Any, accepted: list, refused: list):
    assert [value for value in accepted if not accepts(type_, value)] == []
    assert [value for value in refused if accepts(type_, value)] == []


def test_money_is_exact():
    assert TypeAdapter(Money).validate_python("19.90") == Decimal("19.90")
    assert TypeAdapter(Money).dump_json(Decimal("19.90")) == b'"19.90"'


class NoteUpdate(Input):
    title: SingleLine = Unset
    stock: Annotated[float, Field(ge=0)] = 0


def test_input_is_strict_and_knows_its_fields():
    for value in ({"unknown": 1}, {"stock": "1"}, {"stock": float("inf")}, {"stock": float("nan")}, {"title": None}):
        with pytest.raises(ValidationError):
            NoteUpdate.model_validate(value)


def test_an_unset_field_may_be_omitted_and_has_no_default_in_the_schema():
    assert NoteUpdate().model_fields_set == set()
    schema = NoteUpdate.model_json_schema()
    assert "default" not in schema["properties"]["title"]
    assert "required" not in schema


def test_query_parameters_are_parsed_and_known():
    class Search(Query):
        stock: float = 0

    assert Search.model_validate({"stock": "1.5"}).stock == 1.5
    for value in ({"stock": "nan"}, {"stock": "inf"}, {"unknown": "1"}):
        with pytest.raises(ValidationError):
            Search.model_validate(value)


def test_output_is_read_from_attributes():
    class Row:
        id = 7

    class Note(Output):
        id: int

    assert Note.model_validate(Row()).id == 7
