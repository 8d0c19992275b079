"""The grammar of one path segment, as it is written on disk: `users`, `[id]`, `[...path]`, `[[...path]]`."""

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from keyword import iskeyword

_STATIC = re.compile(r"(?:%5F|%2E)?[A-Za-z0-9][A-Za-z0-9._~-]*")
_GROUP = re.compile(r"\([A-Za-z0-9_-]+\)")
_DYNAMIC = re.compile(r"\[(\w+)\]|\[\.\.\.(\w+)\]|\[\[\.\.\.(\w+)\]\]")
_DEVICES = re.compile(r"(?i)(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?")


class Kind(IntEnum):
    """Kinds of segments in the order of precedence."""

    STATIC = 0
    MIXED = 1  # only from the routers of plain FastAPI: `{id:int}`, `v{n}`
    PARAM = 2
    REST = 3
    OPTIONAL = 4


@dataclass(frozen=True, order=True)
class Segment:
    """One segment. `text` is the URL's text, or the name of the parameter."""

    kind: Kind
    text: str

    @cached_property
    def slot(self) -> tuple[Kind, str]:
        """What decides the place of a segment: its text if it is static, never the name of a parameter."""
        if self.kind == Kind.STATIC:
            return self.kind, self.text
        return self.kind, re.sub(r"{\w+", "{", self.text) if self.kind == Kind.MIXED else ""

    @property
    def url(self) -> str:
        """The segment in the notation of Starlette."""
        if self.kind in (Kind.STATIC, Kind.MIXED):
            return self.text
        return f"{{{self.text}}}" if self.kind == Kind.PARAM else f"{{{self.text}:rest}}"

    @property
    def pattern(self) -> str:
        """The segment in the notation of the disk."""
        brackets = {Kind.PARAM: "[{}]", Kind.REST: "[...{}]", Kind.OPTIONAL: "[[...{}]]"}
        return brackets.get(self.kind, "{}").format(self.text)


class BadSegment(ValueError):
    """The name is no segment; the message says which form is right."""


def parse(name: str) -> Segment | None:
    """The segment that a file's stem or a folder's name stands for; None for a group."""
    if _DEVICES.fullmatch(name) or name.endswith("."):
        raise BadSegment(f"Windows cannot hold the name {name!r}. Choose another")
    if _GROUP.fullmatch(name):
        return None
    if _STATIC.fullmatch(name):
        return Segment(Kind.STATIC, name.replace("%5F", "_").replace("%2E", "."))
    if found := _DYNAMIC.fullmatch(name):
        kind = (Kind.PARAM, Kind.REST, Kind.OPTIONAL)[(found.lastindex or 1) - 1]
        parameter = found[found.lastindex or 1]
        if parameter.isidentifier() and not iskeyword(parameter):
            return Segment(kind, parameter)
    raise BadSegment(f"{name!r} is no URL segment. {_advice(name)}")


def _advice(name: str) -> str:
    """What the author of `name` probably meant."""
    if found := re.fullmatch(r"\[(\w+):(\w+)\]", name):
        return f"Write [{found[1]}] and give the type in the handler: {found[1]}: {found[2]}"
    dots = "..." if "..." in name else ""
    words = "_".join(re.findall(r"\w+", name))
    if name[0] == "." and words:
        return f"Write %2E{name[1:]} for a leading dot"
    if name[0] in "[{$:@<" and words:
        words = f"_{words}" if words[0].isdigit() else words
        return f"Write [{dots}{words + '_' if iskeyword(words) else words}]"
    return "Use letters, digits, '-', '_', '.' and '~', or [name], [...name], [[...name]], (group)"
