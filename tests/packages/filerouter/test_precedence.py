"""The order of precedence: that of Next.js 16.4.6's own sorter, and no other, whatever the disk says."""

import itertools
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import compile_path

import filerouter.trie  # noqa: F401  registers the convertor of catch-alls
from filerouter import RouteTreeError, conflicts, scan
from filerouter.conflicts import Claim
from filerouter.fallback import whole
from filerouter.segments import Kind, Segment, parse
from filerouter.trie import Trie

# 1,000 random sets of patterns with what Next.js 16.4.6's own sorter answers for each.
CASES = json.loads((Path(__file__).parent / "data" / "precedence.json").read_text())


def write(root: Path, patterns: list[str]) -> None:
    for pattern in patterns:
        folder = root / pattern.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.py").touch()


def patterns_of(root: Path) -> list[str] | None:
    try:
        return [file.pattern for file in scan(root)]
    except RouteTreeError:
        return None


def test_thousand_cases(tmp_path: Path) -> None:
    wrong = []
    for number, case in enumerate(CASES):
        write(tmp_path / str(number), case["routes"])
        if patterns_of(tmp_path / str(number)) != case.get("sorted"):
            wrong.append(case)
    assert not wrong
    assert len(CASES) == 1000


segments = st.one_of(
    st.sampled_from(["a", "b", "me", "v1", "a-b"]).map(lambda text: Segment(Kind.STATIC, text)),
    st.sampled_from(["{n:int}", "v{n:int}"]).map(lambda text: Segment(Kind.MIXED, text)),
    st.just(Segment(Kind.PARAM, "id")),
)
ends = st.sampled_from([(), (Segment(Kind.REST, "rest"),), (Segment(Kind.OPTIONAL, "rest"),)])
paths = st.tuples(st.lists(segments, max_size=4).map(tuple), ends).map(lambda both: both[0] + both[1])
requests = st.lists(
    st.sampled_from(["a", "b", "me", "v1", "a-b", "x", "7", "v2", "v2\n", "", ".", ".."]), max_size=5
)


def url_of(path: tuple[Segment, ...]) -> str:
    numbers = itertools.count()
    return re.sub(r"{\w+", lambda found: f"{{p{next(numbers)}", conflicts.url(path))


def key(path: tuple[Segment, ...]) -> list[tuple[Kind, str]]:
    return [segment.slot for segment in path]


@given(st.lists(paths, min_size=1, max_size=8, unique=True), st.randoms())
def test_the_order_is_total_and_independent_of_the_disk(found: list[tuple[Segment, ...]], random) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)
    assert sorted(found, key=key) == sorted(shuffled, key=key)
    for first, second in zip(sorted(found, key=key), sorted(found, key=key)[1:], strict=False):
        assert key(first) < key(second)
        for a, b in zip(first, second, strict=False):
            if a.slot != b.slot:
                assert (a.kind, a.text if a.kind == Kind.STATIC else "") < (b.kind, b.text)
                break
        else:
            assert len(first) < len(second)


def places_of(found: list[tuple[Segment, ...]]) -> set[tuple[Segment, ...]]:
    """The places of those that can stand beside each other: two for an optional catch-all."""
    claims: list[Claim] = []
    for number, path in enumerate(found):
        claim = Claim(path, Path(f"/t/{number}.py"))
        if not any(conflicts.find([*claims, claim])):
            claims.append(claim)
    optional = {
        claim.segments for claim in claims if claim.segments and claim.segments[-1].kind == Kind.OPTIONAL
    }
    return {claim.segments for claim in claims} | {segments[:-1] for segments in optional}


@given(st.lists(paths, min_size=1, max_size=10, unique=True), requests)
def test_the_trie_finds_what_a_linear_search_finds(
    found: list[tuple[Segment, ...]], request: list[str]
) -> None:
    ordered = sorted(places_of(found), key=key)
    trie: Trie[tuple[Segment, ...]] = Trie()
    for path in ordered:
        trie.add(path, path)
    url = "/" + "/".join(request)
    linear = next((path for path in ordered if whole(compile_path(url_of(path))[0]).match(url)), None)
    assert trie.find(url[1:].split("/") if url != "/" else []) == linear


@given(st.lists(paths, min_size=2, max_size=6))
def test_the_same_conflicts_in_any_order(found: list[tuple[Segment, ...]]) -> None:
    claims = [Claim(path, Path(f"/t/{number}.py")) for number, path in enumerate(found)]
    assert list(conflicts.find(claims)) == list(conflicts.find(claims[::-1]))


@pytest.mark.parametrize(
    ("name", "segment"),
    [
        ("users", Segment(Kind.STATIC, "users")),
        ("robots.txt", Segment(Kind.STATIC, "robots.txt")),
        ("%5Fpub", Segment(Kind.STATIC, "_pub")),
        ("%2Ewell-known", Segment(Kind.STATIC, ".well-known")),
        ("[id]", Segment(Kind.PARAM, "id")),
        ("[...path]", Segment(Kind.REST, "path")),
        ("[[...path]]", Segment(Kind.OPTIONAL, "path")),
        ("(admin)", None),
    ],
)
def test_segments(name: str, segment: Segment | None) -> None:
    assert parse(name) == segment
    if segment and "%" not in name:
        assert segment.pattern == name
