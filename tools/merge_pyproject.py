"""Merge a project's pyproject.toml with the template's new one."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

KEPT = ("name", "version", "description", "authors", "requires-python")
"""Lines of [project] that are the project's own."""


def merge_pyproject(current: str, old: str, new: str) -> tuple[str, list[str]]:
    """Return the new text with the project's own names and packages, and what has to be changed by hand."""
    was, base = tomllib.loads(current), tomllib.loads(old)
    for key in KEPT:
        if line := re.search(rf"^{key} = .*$", current, re.MULTILINE):
            new = re.sub(rf"^{key} = .*$", lambda _, line=line: line[0], new, count=1, flags=re.MULTILINE)
    new = _extend(new, "dependencies", _added(was["project"], base["project"], "dependencies"))
    groups, old_groups = was.get("dependency-groups", {}), base.get("dependency-groups", {})
    for group in old_groups:
        new = _extend(new, group, _added(groups, old_groups, group))
    new = _add_scripts(new, was["project"].get("scripts", {}), base["project"].get("scripts", {}))
    result, before = dict(_flatten(tomllib.loads(new))), dict(_flatten(base))
    return new, [*_differences(dict(_flatten(was)), before, result)]


def _differences(current: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Describe what the project changed and the new file does not have."""
    for key, value in current.items():
        if isinstance(value, list) and isinstance(new.get(key), list):
            missing = [each for each in value if each not in old.get(key, []) and each not in new[key]]
            yield from ([f"{key} had {missing!r}"] if missing else [])
        elif value != old.get(key) and value != new.get(key):
            yield f"{key} was {value!r}; the new file has {new.get(key)!r}"


def _added(table: Mapping[str, Any], base: Mapping[str, Any], key: str) -> list[str]:
    """Return the packages that the template never named."""
    known = {_distribution(each) for each in base.get(key, []) if isinstance(each, str)}
    return [each for each in table.get(key, []) if isinstance(each, str) and _distribution(each) not in known]


def _distribution(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()


def _extend(text: str, key: str, packages: list[str]) -> str:
    """Add packages to an array that has one element a line."""

    def replace(array: re.Match[str]) -> str:
        lines = [*array[2].splitlines(), *(f'    "{package}",' for package in packages)]
        return array[1] + "\n".join(sorted(lines)) + "\n]"

    return re.sub(rf"^({key} = \[\n)(.*?)\n\]", replace, text, count=1, flags=re.M | re.S) if packages else text


def _add_scripts(text: str, scripts: Mapping[str, str], base: Mapping[str, str]) -> str:
    lines = [f'{name} = "{target}"\n' for name, target in scripts.items() if name not in base]
    return text.replace("[project.scripts]\n", "[project.scripts]\n" + "".join(lines), 1)


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
