"""From a path to what answers it, one segment at a time: the number of routes does not matter."""

import re
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from starlette.convertors import Convertor, register_url_convertor
from starlette.routing import compile_path

from filerouter.segments import Kind, Segment

Found = TypeVar("Found")


class RestConvertor(Convertor[str]):
    """One or more segments, none of them empty, `.` or `..`."""

    regex = r"(?!\.{1,2}(?:/|$))[^/]+(?:/(?!\.{1,2}(?:/|$))[^/]+)*"

    def convert(self, value: str) -> str:
        """Take the path as it is."""
        return value

    def to_string(self, value: str) -> str:
        """Refuse what no request can bring."""
        if not re.fullmatch(self.regex, str(value)):
            raise ValueError(f"{value!r} has an empty segment, '.' or '..'")
        return str(value)


register_url_convertor("rest", RestConvertor())


class Trie(Generic[Found]):
    """A node. Add in the order of precedence; what is found is what a search in that order finds first."""

    def __init__(self) -> None:
        self.end: Found | None = None
        self.rest: Found | None = None
        self.static: dict[str, Trie[Found]] = {}
        self.mixed: dict[str, tuple[re.Pattern[str], Trie[Found]]] = {}
        self.param: Trie[Found] | None = None

    def add(self, segments: Sequence[Segment], found: Found) -> None:
        """Let the path of this shape lead to `found`."""
        node = self
        for segment in segments:
            if segment.kind == Kind.STATIC:
                node = node.static.setdefault(segment.text, Trie())
            elif segment.kind == Kind.MIXED:
                pattern = compile_path(f"/{segment.text}")[0]
                node = node.mixed.setdefault(segment.text, (pattern, Trie()))[1]
            elif segment.kind == Kind.PARAM:
                node.param = node = node.param or Trie()
            else:
                node.rest = found
                return
        node.end = found

    def find(self, parts: Sequence[str], at: int = 0) -> Found | None:
        """What the path of these segments, from `at` on, leads to."""
        if at == len(parts):
            return self.end
        part = parts[at]
        if not part:
            return None
        for node in self._children(part):
            if (found := node.find(parts, at + 1)) is not None:
                return found
        return None if any(rest in ("", ".", "..") for rest in parts[at:]) else self.rest

    def _children(self, part: str) -> "Iterator[Trie[Found]]":
        if node := self.static.get(part):
            yield node
        for pattern, node in self.mixed.values():
            if pattern.fullmatch(f"/{part}"):
                yield node
        if self.param:
            yield self.param
