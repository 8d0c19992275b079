"""`routes`: what the tree serves, without a database and without the network."""

import argparse
import importlib
import inspect
import json
import os
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from fastapi import FastAPI
from fastapi.routing import APIRoute, APIWebSocketRoute

from filerouter.dispatch import Dispatch, Place, Tree
from filerouter.problems import RouteTreeError, shown


@dataclass
class Row:
    """One handler of the table."""

    methods: list[str]
    url: str
    file: str
    line: int
    access: str
    tags: list[str]


def main() -> None:
    """Print the table, or what the options ask for."""
    parser = argparse.ArgumentParser("routes", description="The routes of the application, by precedence.")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--json", action="store_true", help="the table as JSON")
    modes.add_argument("--tree", action="store_true", help="the files with what they answer")
    modes.add_argument("--match", metavar="'GET /path'", help="which file answers, and why")
    modes.add_argument(
        "--check", action="store_true", help="only look for problems: exit code 1 if there are any"
    )
    arguments = parser.parse_args()
    trees = Dispatch.of(_application().router).trees
    rows = [row for tree in trees for row in _rows(tree)]
    if arguments.check:
        print(f"{len(rows)} routes, no problems.")
    elif arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    elif arguments.match:
        _print_match(trees, arguments.match)
    elif arguments.tree:
        _print_tree(rows)
    else:
        cells = [["METHODS", "URL", "FILE", "ACCESS", "TAGS"]]
        cells += [
            [" ".join(r.methods), r.url, f"{r.file}:{r.line}", r.access, ", ".join(r.tags)] for r in rows
        ]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for row in cells:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _application() -> FastAPI:
    """The application that pyproject.toml names."""
    try:
        settings = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["filerouter"]
        module, _, name = settings["app"].partition(":")
    except FileNotFoundError:
        sys.exit("routes: there is no pyproject.toml here. Run it in the folder of the project.")
    except tomllib.TOMLDecodeError as error:
        sys.exit(f"routes: pyproject.toml: {error}")
    except KeyError:
        sys.exit(
            'routes: pyproject.toml does not name the application: [tool.filerouter] app = "app.main:app".'
        )
    for variable, value in settings.get("environment", {}).items():
        os.environ.setdefault(variable, str(value))
    sys.path.insert(0, str(Path.cwd()))
    try:
        app = getattr(importlib.import_module(module), name)
    except RouteTreeError:
        raise
    except Exception as error:
        sys.exit(f"routes: cannot import {settings['app']}: {type(error).__name__}: {error}")
    if not isinstance(app, FastAPI) or not isinstance(app.router.middleware_stack, Dispatch):
        sys.exit(f"routes: {settings['app']} is no FastAPI application with a FileRouter mounted.")
    return app


def _rows(tree: Tree) -> Iterator[Row]:
    for place in tree.places:
        for route in place.routes:
            if isinstance(route, APIRoute | APIWebSocketRoute):
                methods = sorted(route.methods or ()) if isinstance(route, APIRoute) else ["WEBSOCKET"]
                guarded = tree.guard and any(d.dependency is tree.guard for d in route.dependencies)
                # What has no code (a partial, given to a plain router) is shown with the file of its place.
                code = getattr(inspect.unwrap(route.endpoint), "__code__", None)
                file = shown(Path(code.co_filename) if code else place.file)
                tags = [str(tag) for tag in route.tags] if isinstance(route, APIRoute) else []
                access = "guarded" if guarded else "public"
                yield Row(methods, route.path_format, file, code.co_firstlineno if code else 1, access, tags)


def _print_tree(rows: list[Row]) -> None:
    """The files as the disk has them."""
    before: tuple[str, ...] = ()
    answers = {Path(row.file).parts: (row.url, []) for row in rows}
    for row in rows:
        answers[Path(row.file).parts][1].extend(row.methods)
    for parts in sorted(answers):
        url, methods = answers[parts]
        for depth, part in enumerate(parts[:-1]):
            if parts[: depth + 1] != before[: depth + 1]:
                print(f"{'  ' * depth}{part}/")
        print(f"{'  ' * (len(parts) - 1)}{parts[-1]}  {' '.join(dict.fromkeys(methods))} {url}")
        before = parts[:-1]


def _print_match(trees: list[Tree], wanted: str) -> None:
    """Every file that the path fits, the winner first."""
    method, _, path = wanted.strip().rpartition(" ")
    method = method.upper() or "GET"
    found = [place for tree in trees for place in tree.places if place.fallback.path_regex.match(path)]
    if not found:
        sys.exit(f"{method} {path}: 404, no file has this URL.")
    winner, *others = found
    print(f"{method} {path}: {_verdict(winner, method, path)}")
    print(f"  {winner.fallback.path_format}  {shown(winner.file)}  wins")
    for place in others:
        pairs = zip(winner.segments, place.segments, strict=False)
        ours, theirs = next((pair for pair in pairs if pair[0].slot != pair[1].slot), (None, None))
        why = (
            f"later: {ours.pattern} comes before {theirs.pattern}"
            if ours and theirs
            else "later: another tree"
        )
        print(f"  {place.fallback.path_format}  {shown(place.file)}  {why}")


def _verdict(place: Place, method: str, path: str) -> str:
    allow = place.fallback.allow
    if path.endswith("/") and path != "/":
        return f"308 to {path[:-1]}"
    if method in allow.split(", "):
        return f"answered by {method.lower()}()" if method in place.fallback.own else "answered by the router"
    return (
        f"405, for the path decides before the method. The file has {allow}" if allow else "404, a websocket"
    )
