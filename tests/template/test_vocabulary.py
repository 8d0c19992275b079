"""Public texts use plain words. Words that readers found unclear or unidiomatic are denied.

The test reads the API description, the strings and docstrings of the code, mails, pages, and all documentation.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.bake import PROJECT, ROOT

DENIED = {
    r'somebody|(?<!")nobody': "name the user, caller or person; or someone, no one",
    r"strangers?|strange": "anonymous client, another user",
    r"foreign(?! keys?\b)": "external, upstream, of another site",
    r"anew|afresh": "again",
    r"elsewhere": "name the place",
    r"mend(?:s|ed|ing)?": "fix, correct",
    r"(?<!410 )gone": "deleted, expired, missing",
    r"told": "reported, notified, configured",
    r"believ(?:es?|ed|ing)": "trust, verify",
    r"the answer's|answers? (?:with|\d{3})|(?:is|are|be) answered|an? answer (?:is|has|that|of)": "response, respond",
    r"that which|is said|by hand of": "use a plain sentence",
    r"(?:for|to|by|from|of) who(?:ever)?|of whom": "name the user, client or caller",
    r"(?:colo|behavio|favo|hono)ur\w*|catalogues?|kilometres?": "American spelling",
    r"(?:recogn|organ|serial|normal|author|anonym)is\w+": "American spelling: -ize",
    r"(?<=; )how many|how many(?=\.)": "returns the number of …",
}
ALLOWED = {"packages/devstack": "nobody", "STYLE.md": "that which"}
"""On Unix, nobody is a user. STYLE.md quotes the rule."""
PAGES = [path for root in (ROOT, PROJECT) for path in sorted(root.glob("*.md"))]
PAGES += [*sorted((ROOT / "docs").rglob("*.md")), *sorted(PROJECT.glob("packages/*/*.md"))]


def denied(text: str, path: Path) -> list[str]:
    """Return the denied words of a text, each with its context. Code in Markdown is not text."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "`…`", text, flags=re.DOTALL)
    text = re.sub(r"\s+", " ", text)
    allowed = {word for folder, word in ALLOWED.items() if folder in path.as_posix()}
    return [
        f"{path.relative_to(ROOT)}: …{text[max(0, word.start() - 50) : word.end() + 30]}… Instead: {advice}"
        for words, advice in DENIED.items()
        for word in re.finditer(rf"\b(?:{words})\b", text, re.IGNORECASE)
        if word[0].lower() not in allowed
    ]


def sentences(path: Path) -> Iterator[str]:
    """Yield the strings of a module that contain a space: messages, help texts, docstrings."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield node.value


def texts(value: Any) -> Iterator[str]:
    """Yield every string in a JSON document."""
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(item)


@pytest.mark.parametrize("name", ["openapi.json", "openapi.minimal.json"])
def test_the_api_description(name: str):
    path = PROJECT / name
    document = json.loads(path.read_text(encoding="utf-8"))
    assert not [found for text in texts(document) for found in denied(text, path)]


FOLDERS = [PROJECT / "app", *sorted(PROJECT.glob("packages/*")), ROOT / "hooks", ROOT / "tools"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_messages_and_docstrings(folder: Path):
    modules = sorted(folder.rglob("*.py"))
    assert modules
    assert not [found for path in modules for text in sentences(path) for found in denied(text, path)]


def test_mails_pages_and_help_texts():
    paths = [path for kind in ("*.txt", "*.html") for path in sorted((PROJECT / "app").rglob(kind))]
    assert len(paths) > 10
    paths += [ROOT / "Makefile", PROJECT / "Makefile", PROJECT / ".env.example", ROOT / "cookiecutter.json"]
    assert not [found for path in paths for found in denied(path.read_text(encoding="utf-8"), path)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_documentation(page: Path):
    assert not denied(page.read_text(encoding="utf-8"), page)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Nobody reads it anew; strangers are told elsewhere.", 5),
        ("Delete what expired; how many.", 1),
        ("A foreign key, 410 Gone, and `nobody` in code.", 0),
        ("Returns the number of deleted rows.", 0),
    ],
)
def test_denied_words_are_found(text: str, count: int):
    assert len(denied(text, ROOT / "README.md")) == count
