"""From a path to the place that answers it, one segment at a time: the number of places does not matter."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import APIRouter
from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import BaseRoute, compile_path

from filerouter.fallback import Fallback
from filerouter.segments import Kind, Segment


class RestConvertor(Convertor[str]):
    """One or more segments, none of them empty, `.` or `..`."""

    regex = r"(?!\.{1,2}(?:/|$))[^/]+(?:/(?!\.{1,2}(?:/|$))[^/]+)*"

    def convert(self, value: str) -> str:
        """The path as it is."""
        return value

    def to_string(self, value: str) -> str:
        """The path as it is, if a request could bring it."""
        if not re.fullmatch(self.regex, str(value)):
            raise ValueError(f"{value!r} has an empty segment, '.' or '..'")
        return str(value)


register_url_convertor("rest", RestConvertor())


@dataclass
class Place:
    """One path and all that answers there. `router` is the application's, knowing these routes only."""

    segments: tuple[Segment, ...]
    file: Path
    routes: Sequence[BaseRoute]
    router: APIRouter

    @property
    def fallback(self) -> Fallback:
        """The last of the routes."""
        assert isinstance(self.routes[-1], Fallback)
        return self.routes[-1]


@dataclass
class Trie:
    """A node. `mixed` holds the segments that a regular expression must match."""

    place: Place | None = None
    rest: Place | None = None
    static: dict[str, "Trie"] = field(default_factory=dict)
    mixed: dict[str, tuple[re.Pattern[str], "Trie"]] = field(default_factory=dict)
    param: "Trie | None" = None

    def add(self, place: Place) -> None:
        """Places are added in the order of precedence."""
        node = self
        for segment in place.segments:
            if segment.kind == Kind.STATIC:
                node = node.static.setdefault(segment.text, Trie())
            elif segment.kind == Kind.MIXED:
                pattern = compile_path(f"/{segment.text}")[0]
                node = node.mixed.setdefault(segment.text, (pattern, Trie()))[1]
            elif segment.kind == Kind.PARAM:
                node.param = node = node.param or Trie()
            else:
                node.rest = place
                return
        node.place = place

    def find(self, parts: Sequence[str], at: int = 0) -> Place | None:
        """The first place in the order of precedence that matches `parts` from `at` on."""
        if at == len(parts):
            return self.place
        part = parts[at]
        if not part:
            return None
        for node in self._children(part):
            if place := node.find(parts, at + 1):
                return place
        if self.rest and not any(rest in ("", ".", "..") for rest in parts[at:]):
            return self.rest
        return None

    def _children(self, part: str) -> Iterator["Trie"]:
        if node := self.static.get(part):
            yield node
        for pattern, node in self.mixed.values():
            if pattern.match(f"/{part}"):
                yield node
        if self.param:
            yield self.param
