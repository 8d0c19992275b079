"""The order of precedence is that of Next.js 16.4.6, and does not depend on the order of files on disk."""

import itertools
import json
import re
from pathlib import Path

import pytest
from filerouter import RouteFile, RouteTreeError, scan
from filerouter.dispatch import Trie
from filerouter.routes import match_whole_path
from filerouter.scanner import find_conflicts
from filerouter.segments import Kind, Segment, Segments, expand, parse_segment, precedence, url_path
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.routing import compile_path

# 1,000 random sets of patterns with the result of Next.js 16.4.6's own sorter for each.
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


def test_the_order_and_rejections_are_those_of_next_js(tmp_path: Path) -> None:
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
ends = st.sampled_from([(), (Segment(Kind.CATCH_ALL, "rest"),), (Segment(Kind.OPTIONAL_CATCH_ALL, "rest"),)])
paths = st.tuples(st.lists(segments, max_size=4).map(tuple), ends).map(lambda both: both[0] + both[1])
requests = st.lists(st.sampled_from(["a", "b", "me", "v1", "a-b", "x", "7", "v2", "v2\n", "", ".", ".."]), max_size=5)


def url_of(path: Segments) -> str:
    numbers = itertools.count()
    return re.sub(r"{\w+", lambda found: f"{{p{next(numbers)}", url_path(path))


@settings(deadline=None)  # a busy machine is not a failure
@given(st.lists(paths, min_size=1, max_size=8, unique=True), st.randoms())
def test_the_order_is_total_and_independent_of_the_input_order(found: list[Segments], random) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)
    assert sorted(found, key=precedence) == sorted(shuffled, key=precedence)
    for first, second in zip(sorted(found, key=precedence), sorted(found, key=precedence)[1:], strict=False):
        assert precedence(first) < precedence(second)
        for a, b in zip(first, second, strict=False):
            if a.precedence != b.precedence:
                assert (a.kind, a.text if a.kind == Kind.STATIC else "") < (b.kind, b.text)
                break
        else:
            assert len(first) < len(second)


def files_of(found: list[Segments]) -> list[RouteFile]:
    return [RouteFile(Path(f"/t/{number}.py"), path) for number, path in enumerate(found)]


def without_conflicts(found: list[Segments]) -> set[Segments]:
    """The paths that do not conflict with one before them: two for an optional catch-all."""
    files: list[RouteFile] = []
    for file in files_of(found):
        if not any(find_conflicts([*files, file])):
            files.append(file)
    return {segments for file in files for segments in expand(file.segments)}


@settings(deadline=None)  # a busy machine is not a failure
@given(st.lists(paths, min_size=1, max_size=10, unique=True), requests)
def test_the_trie_finds_what_a_linear_search_finds(found: list[Segments], request: list[str]) -> None:
    ordered = sorted(without_conflicts(found), key=precedence)
    trie: Trie[Segments] = Trie()
    for path in ordered:
        trie.add(path, path)
    url = "/" + "/".join(request)
    linear = next((path for path in ordered if match_whole_path(compile_path(url_of(path))[0]).match(url)), None)
    assert trie.find(url[1:].split("/") if url != "/" else []) == linear


@settings(deadline=None)  # a busy machine is not a failure
@given(st.lists(paths, min_size=2, max_size=6))
def test_conflicts_do_not_depend_on_the_input_order(found: list[Segments]) -> None:
    files = files_of(found)
    assert list(find_conflicts(files)) == list(find_conflicts(files[::-1]))


@pytest.mark.parametrize(
    ("name", "segment"),
    [
        ("users", Segment(Kind.STATIC, "users")),
        ("robots.txt", Segment(Kind.STATIC, "robots.txt")),
        ("%5Fpub", Segment(Kind.STATIC, "_pub")),
        ("%2Ewell-known", Segment(Kind.STATIC, ".well-known")),
        ("[id]", Segment(Kind.PARAM, "id")),
        ("[...path]", Segment(Kind.CATCH_ALL, "path")),
        ("[[...path]]", Segment(Kind.OPTIONAL_CATCH_ALL, "path")),
        ("(admin)", None),
    ],
)
def test_names_are_parsed_as_segments(name: str, segment: Segment | None) -> None:
    assert parse_segment(name) == segment
    if segment and "%" not in name:
        assert segment.pattern == name
