"""W3C trace context."""

import re

import pytest
from saaskit.tracing import child_traceparent, is_valid

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FORM = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


@pytest.mark.parametrize(
    "value",
    [
        *("", "x", PARENT + "-", PARENT + "\n", PARENT.upper(), "01" + PARENT[2:], PARENT[:-1]),
        *("00-" + "0" * 32 + "-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01"),
    ],
)
def test_an_invalid_header_is_not_continued(value: str):
    assert is_valid(PARENT) and not is_valid(value)
    match = FORM.fullmatch(child_traceparent(value, "request-1"))
    assert match and match[1] != "0af7651916cd43dd8448eb211c80319c"


def test_a_child_continues_the_trace_with_a_new_span():
    children = [FORM.fullmatch(child_traceparent(PARENT, "request-1")) for _ in range(2)]
    assert {child and child[1] for child in children} == {"0af7651916cd43dd8448eb211c80319c"}
    assert {child and child[3] for child in children} == {"01"}
    assert len({child and child[2] for child in children} | {"b7ad6b7169203331"}) == 3


def test_without_a_parent_a_request_has_one_trace():
    first, second, other = (child_traceparent("", request_id)[3:35] for request_id in ("one-1", "one-1", "two-2"))
    assert first == second != other
    assert child_traceparent("", "")[3:35] != child_traceparent("", "")[3:35]
