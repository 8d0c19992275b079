"""Rewrite Python code for names that have moved: imports, uses of renamed names, attributes and keywords."""

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

PROJECT = ("app", "tests", "filerouter", "devstack")
"""Packages whose names must exist in the new layout."""


@dataclass
class Names:
    """What has moved, old to new: modules, names in them, attributes of types, keywords of calls, fixtures."""

    modules: dict[str, str]
    names: dict[str, str]
    attributes: dict[str, dict[str, str]]
    keywords: dict[str, dict[str, str]]
    fixtures: dict[str, str]
    exists: Callable[[str], bool] = field(default=lambda name: True)
    """Tells whether the new code has a module or name."""

    def resolve(self, name: str) -> str | None:
        """Return the new dotted name, the same name if it has not moved, or None if nothing replaces it."""
        module, _, last = name.rpartition(".")
        new = self.names.get(name) or self.modules.get(name)
        if not new and module in self.modules:
            new = f"{self.modules[module]}.{last}"
        if not new and name.partition(".")[0] not in PROJECT:
            return name
        return (new or name) if self.exists(new or name) else None


class Rewriter:
    """Rewrites one file. `problems` holds a line for each import that has to be changed by hand."""

    def __init__(self, code: str, names: Names) -> None:
        self.code, self.names = code, names
        self.lines = code.encode().splitlines(keepends=True)
        self.tree = ast.parse(code)
        self.edits: list[tuple[int, int, str]] = []
        self.problems: list[str] = []
        self.renamed: dict[str, str] = {}
        """Local names whose uses have a new name."""
        self.imported: dict[str, str] = {}
        """Local names and the old dotted names that they were imported from."""

    def run(self) -> str:
        """Return the new code."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                self._import_from(node, node.module)
            elif isinstance(node, ast.Import):
                self._import(node)
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name) and node.id in self.renamed:
                self._replace(node, self.renamed[node.id])
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                self._module_attribute(node, node.value.id)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                self._keywords(node, node.func.id)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self._parameters(node)
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                self._exports(node)
        return self._apply()

    def _import_from(self, node: ast.ImportFrom, module: str) -> None:
        groups: dict[str, list[str]] = {}
        for alias in node.names:
            old = f"{module}.{alias.name}"
            new = self.names.resolve(old)
            if new is None:
                self.problems.append(f"{node.lineno}: nothing replaces {old}")
                new = old
            local, (package, _, name) = alias.asname or alias.name, new.rpartition(".")
            self.imported[local] = old
            keep = alias.asname or old in self.names.modules or self._is_bound(name)
            if name == local:
                groups.setdefault(package, []).append(name)
            elif keep:
                groups.setdefault(package, []).append(f"{name} as {local}")
            else:
                groups.setdefault(package, []).append(name)
                self.renamed[local] = name
        if [*groups] != [module] or groups[module] != [ast.unparse(alias) for alias in node.names]:
            separator = "\n" + " " * node.col_offset
            self._replace(node, separator.join(f"from {key} import {', '.join(it)}" for key, it in groups.items()))

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            new = self.names.resolve(alias.name)
            if new != alias.name:
                by_hand = f"import {alias.name}" + (f" -> {new}" if new else "")
                self.problems.append(f"{node.lineno}: change this import by hand: {by_hand}")

    def _module_attribute(self, node: ast.Attribute, local: str) -> None:
        old = f"{self.imported.get(local)}.{node.attr}"
        if self.imported.get(local) not in self.names.modules:
            return
        new = self.names.resolve(old)
        module = self.names.modules[self.imported[local]]
        if new is None or new.rpartition(".")[0] != module:
            self.problems.append(f"{node.lineno}: {old} " + (f"is now {new}" if new else "has no replacement"))
        elif (name := new.rpartition(".")[2]) != node.attr:
            self._replace_end(node, node.attr, name)

    def _keywords(self, node: ast.Call, local: str) -> None:
        renamed = self.names.keywords.get(self.imported.get(local, ""), {})
        for keyword in node.keywords:
            if keyword.arg in renamed:
                start = self._offset(keyword.lineno, keyword.col_offset)
                self.edits.append((start, start + len(keyword.arg), renamed[keyword.arg]))

    def _parameters(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Rename attributes of parameters by their annotation, and parameters of tests that are fixtures."""
        arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        for argument in arguments:
            kind = argument.annotation.id if isinstance(argument.annotation, ast.Name) else ""
            attributes = self.names.attributes.get(self.imported.get(kind, ""), {})
            fixture = self.names.fixtures.get(argument.arg) if function.name.startswith("test_") else None
            if fixture:
                start = self._offset(argument.lineno, argument.col_offset)
                self.edits.append((start, start + len(argument.arg.encode()), fixture))
            for node in ast.walk(function):
                if fixture and isinstance(node, ast.Name) and node.id == argument.arg:
                    self._replace(node, fixture)
                elif isinstance(node, ast.Attribute) and node.attr in attributes and _is_name(node.value, argument.arg):
                    self._replace_end(node, node.attr, attributes[node.attr])

    def _exports(self, node: ast.Assign) -> None:
        for element in ast.walk(node.value):
            if isinstance(element, ast.Constant) and element.value in self.renamed:
                self._replace(element, f'"{self.renamed[element.value]}"')

    def _is_bound(self, name: str) -> bool:
        """Tell whether the file already uses a name for something else."""
        return name in set(self._bound())

    def _bound(self) -> Iterator[str]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name):
                yield node.id
            elif isinstance(node, ast.arg):
                yield node.arg
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield node.name

    def _offset(self, line: int, column: int) -> int:
        return sum(map(len, self.lines[: line - 1])) + column

    def _replace(self, node: ast.stmt | ast.expr, text: str) -> None:
        start = self._offset(node.lineno, node.col_offset)
        self.edits.append((start, self._offset(node.end_lineno or 0, node.end_col_offset or 0), text))

    def _replace_end(self, node: ast.expr, old: str, new: str) -> None:
        end = self._offset(node.end_lineno or 0, node.end_col_offset or 0)
        self.edits.append((end - len(old.encode()), end, new))

    def _apply(self) -> str:
        code = self.code.encode()
        for start, end, text in sorted(set(self.edits), reverse=True):
            code = code[:start] + text.encode() + code[end:]
        return code.decode()


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def rewrite(code: str, names: Names) -> tuple[str, list[str]]:
    """Return the new code, and a line for each thing that has to be changed by hand."""
    rewriter = Rewriter(code, names)
    return rewriter.run(), rewriter.problems


def load_names(document: Mapping[str, dict], exists: Callable[[str], bool]) -> Names:
    """Return the names of migrated_names.json."""
    return Names(**document, exists=exists)
