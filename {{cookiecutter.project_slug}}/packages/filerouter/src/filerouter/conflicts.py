"""Whether the places of a tree can stand beside each other. No disk, no import: patterns only."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from filerouter.problems import Problem, shown
from filerouter.segments import Kind, Segment


class Claim(NamedTuple):
    """A file says: this URL is mine."""

    segments: tuple[Segment, ...]
    path: Path


def url(segments: Iterable[Segment], prefix: str = "") -> str:
    """The URL in the notation of Starlette."""
    return prefix + "".join(f"/{segment.url}" for segment in segments) or "/"


def place(segments: Iterable[Segment], prefix: str = "") -> str:
    """The URL as a person reads it: the brackets say enough."""
    return url(segments, prefix).replace(":rest}", "}")


def find(claims: Iterable[Claim], prefix: str = "") -> Iterator[Problem]:
    """Every conflict, each once."""
    ends: dict[tuple[object, ...], Claim] = {}
    seen: dict[tuple[object, ...], tuple[Segment, Path]] = {}
    told: set[tuple[object, ...]] = set()
    for claim in sorted(claims, key=lambda c: ([s.slot for s in c.segments], str(c.path))):
        for index, segment in enumerate(claim.segments):
            above = tuple(s.slot for s in claim.segments[:index])
            for key, code in _neighbours(above, segment):
                first, path = seen.setdefault(key, (segment, claim.path))
                if first != segment and (*key, segment) not in told:
                    told.add((*key, segment))
                    yield _clash(code, claim, path, first, index, prefix)
        for end in _ends(claim.segments):
            other = ends.setdefault(end, claim)
            told_already = len(claim.segments) == len(other.segments) and claim.segments != other.segments
            if other.path != claim.path and not told_already:
                yield _twice(claim, other, prefix)


def alone(claim: Claim, prefix: str) -> Iterator[Problem]:
    """What is wrong with a claim whatever stands beside it."""
    names = [segment.text for segment in claim.segments if segment.kind >= Kind.PARAM]
    twice = sorted({name for name in names if names.count(name) > 1})
    early = [segment for segment in claim.segments[:-1] if segment.kind >= Kind.REST]
    if not (twice or early):
        return
    where, shape = shown(claim.path), place(claim.segments, prefix)
    for name in twice:
        text = f"{where}: the parameter {name} stands twice in {shape}. Rename one of them."
        yield Problem("repeated-parameter", (claim.path,), text)
    for segment in early:
        text = f"{where}: nothing may follow {segment.pattern} in {shape}, for it takes all the rest. "
        text += f"Use [{segment.text}] for one segment, or move the file up."
        yield Problem("catch-all-not-last", (claim.path,), text)


def _neighbours(above: tuple[object, ...], segment: Segment) -> Iterator[tuple[tuple[object, ...], str]]:
    """Under which keys all segments must be the same."""
    if segment.kind == Kind.STATIC:
        yield (*above, segment.text.casefold()), "case-only"
    elif segment.kind >= Kind.REST:
        yield (*above, Kind.REST), "catch-all-twice"
    else:
        yield (*above, segment.slot), "parameter-name"


def _clash(code: str, claim: Claim, other: Path, first: Segment, index: int, prefix: str) -> Problem:
    segment, where, there = claim.segments[index], shown(claim.path), shown(other)
    parent = url(claim.segments[:index], prefix).rstrip("/")
    last = index == len(claim.segments) - 1 and claim.path.stem == segment.pattern
    rename = f"it to {first.pattern}.py" if last else f"the folder {segment.pattern} to {first.pattern}"
    if code == "case-only":
        text = f"differs from {there} only by case ({parent}/{first.text}). Rename {rename}"
    elif first.kind != segment.kind:
        code = "catch-all-beside-optional"
        text = f"takes the same URLs as {there} ({parent}/…). Keep one of the two files"
    else:
        text = f"same place as {there} ({parent}/{{…}}). Use one name: rename {rename}, or move one file"
    return Problem(code, (claim.path, other), f"{where}: {text}.")


def _ends(segments: tuple[Segment, ...]) -> Iterator[tuple[object, ...]]:
    """The places that a URL of this shape may end at: two for an optional catch-all."""
    slots = tuple(s.slot for s in segments)
    yield slots
    if segments and segments[-1].kind == Kind.OPTIONAL:
        yield slots[:-1]


def _twice(claim: Claim, other: Claim, prefix: str) -> Problem:
    files = (claim.path, other.path)
    if len(claim.segments) != len(other.segments):
        optional = max(claim, other, key=lambda c: len(c.segments))
        index = min(claim, other, key=lambda c: len(c.segments))
        text = (
            f"{shown(optional.path)}: answers {url(index.segments, prefix)} as {shown(index.path)} does. "
            f"Rename it to [...{optional.segments[-1].text}].py, or delete the other file."
        )
        return Problem("optional-beside-index", (optional.path, index.path), text)
    text = f"{shown(claim.path)}: same URL as {shown(other.path)} ({place(claim.segments, prefix)}). "
    text += "Keep one of the two files."
    return Problem("duplicate-url", files, text)
