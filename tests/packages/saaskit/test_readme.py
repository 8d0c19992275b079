"""The examples of the README are valid Python, and import names that exist and are public."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest
import saaskit

README = Path(saaskit.__file__).parents[2] / "README.md"
EXAMPLES = re.findall(r"^## (saaskit\.\w+).*?```python\n(.*?)```", README.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("example", [pytest.param(code, id=name) for name, code in EXAMPLES])
def test_an_example_imports_public_names(example: str):
    imports = [node for node in ast.parse(example).body if isinstance(node, ast.ImportFrom)]
    assert imports
    for statement in imports:
        module = import_module(str(statement.module))
        assert {alias.name for alias in statement.names} <= set(module.__all__)


def test_every_subpackage_has_an_example():
    folder = Path(saaskit.__file__).parent
    assert {f"saaskit.{path.parent.name}" for path in folder.glob("*/__init__.py")} <= {name for name, _ in EXAMPLES}
