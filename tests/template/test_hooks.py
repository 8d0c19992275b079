"""The functions of the hooks, without generating a project."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from tools.bake import PROJECT, ROOT


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "hooks" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pre_gen = load("pre_gen_project")
post_gen = load("post_gen_project")


@pytest.mark.parametrize("hook", ["pre_gen_project", "post_gen_project"])
def test_hooks_use_only_the_standard_library_and_no_network(hook: str):
    tree = ast.parse((ROOT / "hooks" / f"{hook}.py").read_text())
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert imported <= {"contextlib", "hashlib", "json", "os", "pathlib", "re", "shutil", "sys"}
    assert imported <= sys.stdlib_module_names


@pytest.mark.parametrize("slug", ["acme", "a", "3d", "acme-billing", "x" * 50])
def test_good_slugs(slug: str):
    assert pre_gen.slug_problem(slug) is None


@pytest.mark.parametrize(
    "slug", ["", "-", "a-", "a--b", "A", "a.b", "a_b", "a\n", "日本", "x" * 51, "nul", "lpt9", "starlette"]
)
def test_bad_slugs(slug: str):
    assert pre_gen.slug_problem(slug)


@pytest.mark.parametrize(
    "text", ["", " \t", "x" * 101, "\x00", "a\rb", "a\u2028b", "\x7f", "\ud800", "{#", "{%", "{" * 2, "\\", '"']
)
def test_bad_texts(text: str):
    assert pre_gen.text_problem(text, 100)


@pytest.mark.parametrize("text", ["a", "{a}", "50 % off", "# 1", "'", "日本　太郎", "e\u0301", "👩🏽‍🚀"])
def test_unusual_texts_are_good(text: str):
    assert pre_gen.text_problem(text, 100) is None


def test_golden_names_of_what_is_installed(update_golden: bool):
    """A project that has the name of one of its dependencies cannot be installed."""
    command = ["uv", "export", "--quiet", "--all-groups", "--no-hashes", "--no-emit-workspace", "--no-annotate"]
    exported = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    names = {re.split(r"[=<>;@ \[]", line)[0] for line in exported.splitlines() if re.match(r"\w", line)}
    names |= {path.parent.name for path in PROJECT.glob("packages/*/pyproject.toml")}
    if update_golden:
        hook = ROOT / "hooks" / "pre_gen_project.py"
        before, rest = hook.read_text(encoding="utf-8").split('INSTALLED = set(\n    """\n')
        block = textwrap.fill(" ".join(sorted(names)), 116, break_on_hyphens=False)
        after = rest[rest.index('    """.split()') :]
        text = f'{before}INSTALLED = set(\n    """\n{textwrap.indent(block, "    ")}\n{after}'
        hook.write_text(text, encoding="utf-8")
    assert names == load("pre_gen_project").INSTALLED, "the project's dependencies changed: make golden"


def test_leftovers_are_the_files_that_git_ignores_in_the_project():
    ignored = {line.rstrip("/") for line in (PROJECT / ".gitignore").read_text().splitlines()}
    assert set(post_gen.LEFTOVERS) == ignored - {"__pycache__", "*.pyc"} | {"uv.lock"}


def test_leftovers_are_removed_unless_they_existed_before(tmp_path: Path):
    for made in (".venv", ".dev", "app/__pycache__"):
        (tmp_path / made).mkdir(parents=True)
    (tmp_path / ".env").write_text("SECRET=ours")
    (tmp_path / post_gen.EXISTED_BEFORE).write_text('[".dev", ".env"]')
    post_gen.drop_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".dev", ".env", "app"]
    assert not [*(tmp_path / "app").iterdir()]


def test_both_hooks_name_the_same_record():
    assert pre_gen.EXISTED_BEFORE == post_gen.EXISTED_BEFORE


def test_naming_changes_one_line_of_each_file(tmp_path: Path):
    answers = {"project_slug": "owl", "project_name": "Zoë's {Owl}"}
    (tmp_path / "app").mkdir()
    (tmp_path / "pyproject.toml").write_bytes(b'[project]\r\nname = "saas-starter"\nx = "saas-starter"\n')
    (tmp_path / "app/settings.py").write_text('    product_name: str = "Acme"\n    other: str = "Acme"\n')
    (tmp_path / "openapi.json").write_text('{"info": {"title": "Acme"}, "title": "Acme"}')
    post_gen.name_project(tmp_path, answers)
    assert (tmp_path / "pyproject.toml").read_bytes() == b'[project]\r\nname = "owl"\nx = "saas-starter"\n'
    settings = (tmp_path / "app/settings.py").read_text(encoding="utf-8")
    assert settings == '    product_name: str = "Zoë\'s {Owl}"\n    other: str = "Acme"\n'
    contract = (tmp_path / "openapi.json").read_text(encoding="utf-8")
    assert json.loads(contract) == {"info": {"title": "Zoë's {Owl}"}, "title": "Acme"}


def test_the_placeholders_are_in_the_template():
    for file, before, _ in post_gen.NAMES:
        assert (PROJECT / file).read_text(encoding="utf-8").count(before) >= 1, file


@pytest.mark.parametrize(
    ("path", "example"),
    [
        ("api/products/[id].py", True),
        ("api/users/[user_id]/orders.py", True),
        ("posts/models.py", True),
        ("orders/test_orders.py", True),
        ("test_seed.py", True),
        ("api/hello.py", False),
        ("accounts/files_and_more.py", False),
        ("__init__.py", False),
    ],
)
def test_the_example_is_recognised_by_its_nouns(path: str, example: bool):
    assert post_gen.is_example(Path(path)) == example
