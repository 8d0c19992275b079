"""The features of a product are found by their files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, sys
from saaskit.features import load_features
load_features("product")
import product
print(json.dumps({"imported": product.imported, "modules": list(sys.modules)}))
"""


def add(folder: Path, *paths: str) -> None:
    """Write modules of a product; each notes that it was imported."""
    for path in ("__init__.py", *paths):
        file = folder / "product" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        note = "imported = []" if path == "__init__.py" else "import product\nproduct.imported.append(__name__)"
        file.write_text(note)


def load(folder: Path) -> subprocess.CompletedProcess[str]:
    """Load the features in another process: what they register cannot be taken back."""
    return subprocess.run([sys.executable, "-c", PROGRAM], cwd=folder, capture_output=True, text=True)


def test_tables_are_imported_before_jobs_and_nothing_else(tmp_path: Path):
    add(tmp_path, "orders/jobs.py", "orders/models.py", "orders/service.py", "accounts/models.py", "posts/schemas.py")
    process = load(tmp_path)
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout)["imported"] == [
        "product.accounts.models",
        "product.orders.models",
        "product.orders.jobs",
    ]


@pytest.mark.parametrize("module", ["saaskit.jobs.retention", "saaskit.mail"])
def test_the_platforms_own_jobs_are_imported(tmp_path: Path, module: str):
    add(tmp_path)
    assert module in json.loads(load(tmp_path).stdout)["modules"]


def test_a_module_that_fails_is_an_error(tmp_path: Path):
    add(tmp_path, "orders/models.py")
    (tmp_path / "product/orders/models.py").write_text("raise ImportError('broken')")
    process = load(tmp_path)
    assert process.returncode == 1
    assert "ImportError: broken" in process.stderr
