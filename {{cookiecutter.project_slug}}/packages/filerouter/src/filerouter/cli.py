"""The command `routes`: show the routes of an application, without a database or network."""

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
from fastapi.routing import APIRoute

from filerouter.dispatch import Dispatcher, MountedTree
from filerouter.errors import RouteTreeError, display_path
from filerouter.routes import Fallback, methods_of


@dataclass
class RouteRow:
    """One handler. The fields are the keys of `--json`."""

    methods: list[str]
    url: str
    file: str
    line: int
    access: str
    tags: list[str]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser("routes", description="Show the routes in the order of precedence.")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--json", action="store_true", help="print the table as JSON")
    modes.add_argument("--tree", action="store_true", help="print the files with their methods and URLs")
    modes.add_argument("--match", metavar="'GET /path'", help="show which file handles a request, and why")
    modes.add_argument("--check", action="store_true", help="only check the tree: exit code 1 on problems")
    arguments = parser.parse_args()
    trees = Dispatcher.of(_import_application().router).trees
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
        _print_table(rows)


def _import_application() -> FastAPI:
    """Import the application that pyproject.toml names, with its environment variables set."""
    try:
        settings = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["filerouter"]
        module, _, name = settings["app"].partition(":")
    except FileNotFoundError:
        sys.exit("routes: no pyproject.toml here. Run the command in the project's folder.")
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
    if not isinstance(app, FastAPI) or not isinstance(app.router.middleware_stack, Dispatcher):
        sys.exit(f"routes: {settings['app']} is not a FastAPI application with a mounted FileRouter.")
    return app


def _rows(tree: MountedTree) -> Iterator[RouteRow]:
    for endpoint in tree.endpoints:
        for route in endpoint.operations:
            guarded = tree.guard and any(d.dependency is tree.guard for d in route.dependencies)
            # A plain APIRouter may have an endpoint without code, such as a partial.
            code = getattr(inspect.unwrap(route.endpoint), "__code__", None)
            yield RouteRow(
                methods=methods_of(route),
                url=route.path_format,
                file=display_path(Path(code.co_filename) if code else endpoint.file.path),
                line=code.co_firstlineno if code else 1,
                access="guarded" if guarded else "public",
                tags=[str(tag) for tag in route.tags] if isinstance(route, APIRoute) else [],
            )


def _print_table(rows: list[RouteRow]) -> None:
    cells = [["METHODS", "URL", "FILE", "ACCESS", "TAGS"]]
    for row in rows:
        file, methods, tags = f"{row.file}:{row.line}", " ".join(row.methods), ", ".join(row.tags)
        cells.append([methods, row.url, file, row.access, tags])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _print_tree(rows: list[RouteRow]) -> None:
    files = {Path(row.file).parts: (row.url, []) for row in rows}
    for row in rows:
        files[Path(row.file).parts][1].extend(row.methods)
    previous: tuple[str, ...] = ()
    for parts, (url, methods) in sorted(files.items()):
        for depth, part in enumerate(parts[:-1]):
            if parts[: depth + 1] != previous[: depth + 1]:
                print(f"{'  ' * depth}{part}/")
        print(f"{'  ' * (len(parts) - 1)}{parts[-1]}  {' '.join(dict.fromkeys(methods))} {url}")
        previous = parts[:-1]


def _print_match(trees: list[MountedTree], request: str) -> None:
    """Print what happens to the request, and every file whose URL matches, the selected one first."""
    method, _, path = request.strip().rpartition(" ")
    method = method.upper() or "GET"
    found = [e for tree in trees for e in tree.endpoints if e.fallback.path_regex.match(path)]
    if not found:
        sys.exit(f"{method} {path}: 404, no file has this URL.")
    selected, *others = found
    print(f"{method} {path}: {_outcome(selected.fallback, method, path)}")
    print(f"  {selected.fallback.path_format}  {display_path(selected.file.path)}  selected")
    for endpoint in others:
        pairs = zip(selected.file.segments, endpoint.file.segments, strict=False)
        first = next(((a.pattern, b.pattern) for a, b in pairs if a.precedence != b.precedence), None)
        reason = f"{first[0]} comes before {first[1]}" if first else "its tree was mounted later"
        print(f"  {endpoint.fallback.path_format}  {display_path(endpoint.file.path)}  not used: {reason}")


def _outcome(fallback: Fallback, method: str, path: str) -> str:
    if path.endswith("/") and path != "/":
        return f"308 to {path[:-1]}"
    if method in fallback.file_methods:
        return f"handled by {method.lower()}()"
    if method in fallback.allow.split(", "):
        return "handled by filerouter"
    if not fallback.allow:
        return "404, the file only has a websocket"
    return f"405, because the path is matched before the method. The file allows {fallback.allow}"
