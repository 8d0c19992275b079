"""Paths on an upstream. What a caller contributes is whole segments, encoded: they stay in their place."""

import re
from collections.abc import Iterable
from urllib.parse import quote

from app.core.errors import NotFound

_HOLE = re.compile(r"\{(\w+)\}")


def segment(value: object) -> str:
    """One path segment; NotFound for what no encoding can make one: nothing, `.`, `..` and controls."""
    text = str(value)
    if text in ("", ".", "..") or not text.isprintable():
        raise NotFound
    return quote(text, safe="")


def fill(template: str, values: dict[str, object]) -> str:
    """`/repos/{owner}/{name}` with its values in place."""
    if set(_HOLE.findall(template)) != set(values) or not template.startswith("/"):
        raise ValueError(f"{template}: starts with / and names exactly {sorted(values)}")
    return _HOLE.sub(lambda hole: segment(values[hole[1]]), template)


class Allowed:
    """What may be relayed: `"GET /repos/{owner}/{name}"`; GET admits HEAD."""

    def __init__(self, rules: Iterable[str]) -> None:
        self.rules = [(method, path.split("/")[1:]) for method, path in map(str.split, rules)]

    def path(self, method: str, given: str) -> str:
        """The path to ask for; NotFound when no rule admits it."""
        parts = given.split("/")
        for verb, pattern in self.rules:
            if verb == method.replace("HEAD", "GET") and len(pattern) == len(parts):
                pairs = zip(pattern, parts, strict=True)
                if all(_HOLE.fullmatch(rule) or rule == part for rule, part in pairs):
                    return "/" + "/".join(map(segment, parts))
        raise NotFound
