"""The pages say something about everything there is, and show code that is tested."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tools import reference
from tools.bake import PROJECT, ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


def text(*folders: str) -> str:
    return "\n".join(
        page.read_text(encoding="utf-8") for page in PAGES if page.relative_to(DOCS).parts[0] in (folders or page.parts)
    )


def navigation(nav: list) -> list[str]:
    """Every file that is named anywhere below."""
    found = []
    for entry in nav:
        for part in entry.values() if isinstance(entry, dict) else [entry]:
            found += [part] if isinstance(part, str) else navigation(part)
    return found


def test_every_page_is_in_the_navigation():
    nav = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    assert sorted(navigation(nav)) == [page.relative_to(DOCS).as_posix() for page in PAGES]


@pytest.mark.parametrize("page", sorted(reference.PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_golden_reference(page: Path, update_golden: bool):
    written = page.read_text(encoding="utf-8")
    if update_golden:
        page.write_text(reference.current(written), encoding="utf-8")
    else:
        assert written == reference.current(written), "make golden"


def test_every_setting_is_explained():
    explained = {name: meaning for name, _, meaning in reference.settings()}
    assert not [name for name, meaning in explained.items() if not meaning]
    assert not [name for name in explained if name not in text("reference")]


def test_every_command_is_explained():
    commands = [*reference.make(PROJECT), *reference.make(ROOT), *reference.programs()]
    assert not [name for name, meaning in commands if not meaning or name not in text("reference")]


def test_every_rule_of_route_files_is_explained():
    router = PROJECT / "filerouter"
    page = (router / "README.md").read_text(encoding="utf-8")
    config = (router / "config.py").read_text(encoding="utf-8")
    fields = re.findall(r"^    (\w+): ", config.partition("class RouteConfig")[2].partition("\ndef ")[0], re.MULTILINE)
    raised = "\n".join(path.read_text(encoding="utf-8") for path in router.glob("*.py"))
    codes = set(re.findall(r"(?:Problem\(|code(?:, text)? = |yield |problem\(|, )\"([a-z]+(?:-[a-z]+)+)\"", raised))
    assert "public" in fields
    assert {"duplicate-url", "no-handler", "import-failed"} <= codes
    assert not [name for name in [*fields, *codes] if f"`{name}`" not in page]


def test_every_folder_at_the_top_is_explained():
    """Of the template in its own README or CONTRIBUTING, of a project in the project's README."""
    for root, pages in ((ROOT, ("README.md", "CONTRIBUTING.md", "AGENTS.md")), (PROJECT, ("README.md",))):
        listed = subprocess.run(
            ["git", "ls-files", "--", "."], cwd=root, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        tops = {name.partition("/")[0] for name in listed if "/" in name and not name.startswith((".", '"'))}
        said = "".join((root / page).read_text(encoding="utf-8") for page in pages) + text()
        assert not [name for name in tops if f"{name}/" not in said], root


def test_every_file_and_test_that_is_named_exists():
    """A page that compares with something else names files of somebody else."""
    pages = [page for page in PAGES if page.relative_to(DOCS).parts[0] not in ("tutorial", "decisions")]
    said = "\n".join(page.read_text(encoding="utf-8") for page in pages if not page.stem.startswith("coming-from"))
    files = set(re.findall(r"`((?:app|benchmarks|devstack|filerouter|tests|tools)/[^`\s*…<>]+\.\w+)`", said))
    assert not [name for name in files if not (PROJECT / name).exists() and not (ROOT / name).exists()]
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (PROJECT / "tests").rglob("*.py"))
    named = set(re.findall(r"`(test_\w+)`", said))
    assert not [name for name in named if f"def {name}(" not in tests]


SHOWN = ("# app/routers/products.py", 'router = APIRouter(tags=["products"])', "with queries() as sent:")
"""First lines of the only Python that is neither included nor executed: somebody else's, and a fragment."""


def test_python_is_included_from_tested_code_or_executed():
    pages = [page for page in PAGES if page.relative_to(DOCS).parts[0] != "tutorial"]
    blocks = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    first = re.findall(r"^ *```(?:python|py)\b[^\n]*\n *(.*)$", blocks, re.MULTILINE)
    assert len(first) > 10
    assert sorted(line for line in first if not line.startswith("--8<--")) == sorted(SHOWN)


def test_the_tutorial_is_read_in_two_hours():
    """200 words of text a minute; 60 of a block, which is thought about, too; ten seconds to copy a command."""
    minutes = {}
    for page in sorted((DOCS / "tutorial").glob("*.md")):
        written = page.read_text(encoding="utf-8")
        blocks = re.findall(r"^```.*?^```$", written, re.MULTILINE | re.DOTALL)
        code = sum(len(block.split()) for block in blocks)
        commands = sum(block.count("\n$ ") for block in blocks)
        minutes[page.stem] = (len(written.split()) - code) / 200 + code / 60 + commands / 6
    assert sum(minutes.values()) <= 120, minutes
    assert max(minutes.values()) <= 20, minutes
    assert "each 5 to 20 minutes, two hours in all" in (DOCS / "tutorial/index.md").read_text(encoding="utf-8")
