"""URL segments as file names write them: `users`, `[id]`, `[...path]`, `[[...path]]`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from keyword import iskeyword

from starlette.convertors import PathConvertor, register_url_convertor

_STATIC = re.compile(r"(?:%5F|%2E)?[A-Za-z0-9][A-Za-z0-9._~-]*")
_GROUP = re.compile(r"\([A-Za-z0-9_-]+\)")
_DYNAMIC = re.compile(r"\[(\w+)\]|\[\.\.\.(\w+)\]|\[\[\.\.\.(\w+)\]\]")
_WINDOWS_DEVICES = re.compile(r"(?i)(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?")


class Kind(IntEnum):
    """Kinds of segments in the order of precedence."""

    STATIC = 0
    MIXED = 1  # `{id:int}` or `v{n}`: only an APIRouter in a route file can have them
    PARAM = 2
    CATCH_ALL = 3
    OPTIONAL_CATCH_ALL = 4


Precedence = tuple[Kind, str]


@dataclass(frozen=True, order=True)
class Segment:
    """One segment. `text` is the text in the URL, or the name of the parameter."""

    kind: Kind
    text: str

    @cached_property
    def precedence(self) -> Precedence:
        """The sort key. It has no parameter names, so it is equal for segments that match the same text."""
        if self.kind == Kind.STATIC:
            return self.kind, self.text
        return self.kind, re.sub(r"{\w+", "{", self.text) if self.kind == Kind.MIXED else ""

    @property
    def url(self) -> str:
        """The segment in Starlette's notation."""
        if self.kind < Kind.PARAM:
            return self.text
        return f"{{{self.text}}}" if self.kind == Kind.PARAM else f"{{{self.text}:rest}}"

    @property
    def pattern(self) -> str:
        """The segment in the notation of file names."""
        brackets = {Kind.PARAM: "[{}]", Kind.CATCH_ALL: "[...{}]", Kind.OPTIONAL_CATCH_ALL: "[[...{}]]"}
        return brackets.get(self.kind, "{}").format(self.text)


Segments = tuple[Segment, ...]


def precedence(segments: Segments) -> tuple[Precedence, ...]:
    """Return the sort key of a path. Two paths with the same key match the same URLs."""
    return tuple(segment.precedence for segment in segments)


def expand(segments: Segments) -> Iterator[Segments]:
    """Yield the paths of the URLs that the segments define: two for an optional catch-all."""
    if segments and segments[-1].kind == Kind.OPTIONAL_CATCH_ALL:
        yield segments[:-1]
    yield segments


def url_path(segments: Segments, prefix: str = "") -> str:
    """Return the path in Starlette's notation."""
    return prefix + "".join(f"/{segment.url}" for segment in segments) or "/"


class CatchAllConvertor(PathConvertor):
    """Matches one or more segments. None of them may be empty, `.` or `..`."""

    regex = r"(?!\.{1,2}(?:/|$))[^/]+(?:/(?!\.{1,2}(?:/|$))[^/]+)*"

    def to_string(self, value: str) -> str:
        """Return the text for a URL. Raises ValueError if no request could have it."""
        if not re.fullmatch(self.regex, str(value)):
            raise ValueError(f"{value!r} has an empty segment, '.' or '..'")
        return super().to_string(value)


register_url_convertor("rest", CatchAllConvertor())


class BadSegment(ValueError):
    """A name that is not a valid segment. The message suggests a valid one."""


def parse_segment(name: str) -> Segment | None:
    """Parse a folder name, or a file name without `.py`. Returns None for a group."""
    if _WINDOWS_DEVICES.fullmatch(name) or name.endswith("."):
        raise BadSegment(f"{name!r} is not a valid file name on Windows. Choose another name")
    if _GROUP.fullmatch(name):
        return None
    if _STATIC.fullmatch(name):
        return Segment(Kind.STATIC, name.replace("%5F", "_").replace("%2E", "."))
    if match := _DYNAMIC.fullmatch(name):
        index = match.lastindex or 1
        kind = (Kind.PARAM, Kind.CATCH_ALL, Kind.OPTIONAL_CATCH_ALL)[index - 1]
        if match[index].isidentifier() and not iskeyword(match[index]):
            return Segment(kind, match[index])
    raise BadSegment(f"{name!r} is not a valid URL segment. {_suggestion(name)}")


def _suggestion(name: str) -> str:
    if match := re.fullmatch(r"\[(\w+):(\w+)\]", name):
        return f"Write [{match[1]}] and declare the type in the handler: {match[1]}: {match[2]}"
    words = "_".join(re.findall(r"\w+", name))
    if name[0] == "." and words:
        return f"Write %2E{name[1:]} for a leading dot"
    if name[0] in "[{$:@<" and words:
        dots = "..." if "..." in name else ""
        words = f"_{words}" if words[0].isdigit() else words
        return f"Write [{dots}{words + '_' if iskeyword(words) else words}]"
    return "Use letters, digits, '-', '_', '.' and '~', or [name], [...name], [[...name]], (group)"
