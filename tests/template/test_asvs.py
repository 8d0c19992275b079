"""docs/security/asvs.md lists every requirement once, has a verdict for each, and names tests that exist."""

import ast
import re
from collections import Counter
from pathlib import Path

from tools.bake import PROJECT, ROOT

PAGE = ROOT / "docs/security/asvs.md"
# The number of requirements of levels 1 and 2 in each section of ASVS 5.0.0. They come first in every section.
SECTIONS = {
    **{"1.1": 2, "1.2": 9, "1.3": 11, "1.4": 3, "1.5": 2, "2.1": 3, "2.2": 3, "2.3": 4, "2.4": 1},
    **{"3.2": 2, "3.3": 4, "3.4": 6, "3.5": 5, "3.7": 2, "4.1": 3, "4.2": 1, "4.3": 2, "4.4": 4},
    **{"5.1": 1, "5.2": 3, "5.3": 2, "5.4": 3, "6.1": 3, "6.2": 12, "6.3": 4, "6.4": 4, "6.5": 5, "6.6": 3, "6.8": 4},
    **{"7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 2, "7.6": 2, "8.1": 2, "8.2": 3, "8.3": 1, "8.4": 1},
    **{"9.1": 3, "9.2": 4, "10.1": 2, "10.2": 2, "10.3": 4, "10.4": 11, "10.5": 5, "10.6": 2, "10.7": 3},
    **{"11.1": 2, "11.2": 3, "11.3": 3, "11.4": 4, "11.5": 1, "11.6": 1, "12.1": 3, "12.2": 2, "12.3": 4},
    **{"13.1": 1, "13.2": 5, "13.3": 2, "13.4": 5, "14.1": 2, "14.2": 4, "14.3": 3, "15.1": 3, "15.2": 3, "15.3": 7},
    **{"16.1": 1, "16.2": 5, "16.3": 4, "16.4": 3, "16.5": 3, "17.1": 1, "17.2": 4, "17.3": 2},
}
ROW = re.compile(r"\| (\d+\.\d+)\.(\d+)(?: to \1\.(\d+))? \| ([^|]+) \| ([^|]+) \|")
TEST = re.compile(r"([\w/]+\.py)::(test_\w+)")
ID = re.compile(r"\b(?!SHA-|AES-)([A-Z]+-\d+)\b")
VERDICT = re.compile(
    rf"(?:{TEST.pattern}|{ID.pattern}|docs/[\w/-]+\.md|(?:deviation|operator|open|not applicable): [\w`])"
)


def rows() -> list[re.Match[str]]:
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| *\d", line)]
    matches = [(line, ROW.fullmatch(line)) for line in lines]
    assert not [line for line, match in matches if not match]
    return [match for _, match in matches if match]


def requirements(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Return the ids in the markers of a test, `@pytest.mark.requirement("SES-3")`."""
    calls = [node for node in function.decorator_list if isinstance(node, ast.Call)]
    marks = [call for call in calls if ast.unparse(call.func) == "pytest.mark.requirement"]
    return {ast.literal_eval(argument) for mark in marks for argument in mark.args}


def existing_tests() -> dict[tuple[str, str], set[str]]:
    """Return path and name of every test, with the ids of the requirements that it proves."""
    found = {}
    for folder in (ROOT / "tests", PROJECT / "tests"):
        for path in folder.rglob("test_*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                    found[path.relative_to(folder).as_posix(), node.name] = requirements(node)
    return found


def test_each_requirement_is_listed_once():
    found = Counter(
        f"{section}.{number}"
        for section, first, last in (row.group(1, 2, 3) for row in rows())
        for number in range(int(first), int(last or first) + 1)
    )
    assert set(found.values()) == {1}
    assert set(found) == {f"{section}.{number + 1}" for section, count in SECTIONS.items() for number in range(count)}
    assert len(found) == 253


def test_each_row_has_a_verdict():
    verdicts = [row[5] for row in rows()]
    assert not [verdict for verdict in verdicts if not VERDICT.match(verdict)]
    deviations = [verdict for verdict in verdicts if verdict.startswith("deviation")]
    assert not [verdict for verdict in deviations if not TEST.search(verdict) and not ID.search(verdict)]


def test_the_named_tests_and_pages_exist():
    existing, verdicts = existing_tests(), "\n".join(row[5] for row in rows())
    named = set(TEST.findall(verdicts))
    assert len(named) > 50
    assert not sorted(named - set(existing))
    assert len(re.findall(r"\btest_\w+(?!\w|\.py)", verdicts)) == len(TEST.findall(verdicts)), "a test without its file"
    assert not sorted(set(ID.findall(verdicts)) - set().union(*existing.values()))
    assert not [page for page in set(re.findall(r"docs/[\w/-]+\.md", verdicts)) if not (ROOT / Path(page)).is_file()]
