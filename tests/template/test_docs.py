"""The documentation mentions everything that exists, and shows code that is tested."""

import re
import subprocess
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tools import reference
from tools.bake import PROJECT, ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


def text(*folders: str) -> str:
    """Return the text of all pages, or of those in some folders of docs/."""
    return "\n".join(
        page.read_text(encoding="utf-8") for page in PAGES if page.relative_to(DOCS).parts[0] in (folders or page.parts)
    )


def navigation(nav: list) -> list[str]:
    """Return every page of a navigation and its sections."""
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
    meanings = {name: meaning for name, _, meaning in reference.settings()}
    assert {"`DATABASE_URL`", "`PRODUCT_NAME`"} <= set(meanings)
    assert not [name for name, meaning in meanings.items() if not meaning]
    assert not [name for name in meanings if name not in text("reference")]


def test_every_command_is_explained():
    commands = [*reference.make(PROJECT), *reference.make(ROOT), *reference.programs()]
    assert {"`uv run dev`", "`uv run jobs`", "`uv run routes`"} <= {name for name, _ in commands}
    assert not [name for name, meaning in commands if not meaning or name not in text("reference")]


def test_every_rule_of_route_files_is_explained():
    router = PROJECT / "packages/filerouter"
    page = (router / "README.md").read_text(encoding="utf-8")
    code = "\n".join(path.read_text(encoding="utf-8") for path in router.rglob("*.py"))
    config = (router / "src/filerouter/config.py").read_text(encoding="utf-8")
    fields = re.findall(r"^    (\w+): ", config.partition("class RouteConfig")[2].partition("\ndef ")[0], re.MULTILINE)
    problems = set(re.findall(r"(?<!add_argument\()\"([a-z]+(?:-[a-z]+)+)\"", code))
    assert "public" in fields
    assert {"duplicate-url", "no-handler", "import-failed"} <= problems
    assert not [name for name in [*fields, *problems] if f"`{name}`" not in page]


def test_every_folder_at_the_top_is_explained():
    """In the README, CONTRIBUTING, AGENTS or docs of the template, or in the README of a project."""
    for root, pages in ((ROOT, ("README.md", "CONTRIBUTING.md", "AGENTS.md")), (PROJECT, ("README.md",))):
        listed = subprocess.run(
            ["git", "ls-files", "--", "."], cwd=root, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        folders = {name.partition("/")[0] for name in listed if "/" in name and not name.startswith((".", '"'))}
        explained = "".join((root / page).read_text(encoding="utf-8") for page in pages) + text()
        assert not [name for name in folders if f"{name}/" not in explained], root


def test_every_file_and_test_that_is_named_exists():
    """Decisions may name files of their time; comparisons and the tutorial name files of others."""
    pages = [page for page in PAGES if page.relative_to(DOCS).parts[0] not in ("tutorial", "decisions")]
    named = "\n".join(page.read_text(encoding="utf-8") for page in pages if not page.stem.startswith("coming-from"))
    files = set(re.findall(r"`((?:app|benchmarks|packages|tests|tools)/[^`\s*…<>]+\.\w+)`", named))
    assert len(files) > 10
    assert not [name for name in files if not (PROJECT / name).exists() and not (ROOT / name).exists()]
    modules = [path for folder in (ROOT / "tests", PROJECT / "tests") for path in folder.rglob("*.py")]
    tests = "\n".join(path.read_text(encoding="utf-8") for path in modules)
    assert not [name for name in set(re.findall(r"`(test_\w+)`", named)) if f"def {name}(" not in tests]


SHOWN = ("# app/routers/products.py", 'router = APIRouter(tags=["products"])', "with queries() as sent:")
"""First lines of the only Python that is neither included nor executed: hand-wired FastAPI, and a fragment."""


SAMPLE = re.compile(r"^( *)ALLOWED_HOSTS=(\S+)\n(?:.*\n)?\1PUBLIC_URL=(\S+)$", re.MULTILINE)


def test_samples_of_settings_accept_requests_to_the_public_url():
    pages = [*DOCS.rglob("*.md"), PROJECT / ".env.example"]
    samples = [sample for page in pages for sample in SAMPLE.findall(page.read_text(encoding="utf-8"))]
    assert len(samples) >= 4
    for _, hosts, public_url in samples:
        assert urlsplit(public_url).hostname in hosts.split(",")


def test_python_is_included_from_tested_code_or_executed():
    pages = [page for page in PAGES if page.relative_to(DOCS).parts[0] != "tutorial"]
    blocks = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    first = re.findall(r"^ *```(?:python|py)\b[^\n]*\n *(.*)$", blocks, re.MULTILINE)
    assert len(first) > 10
    assert sorted(line for line in first if not line.startswith("--8<--")) == sorted(SHOWN)


def test_the_tutorial_takes_two_hours():
    """Reading takes a minute per 200 words of text, or 60 of code; copying a command takes ten seconds."""
    minutes = {}
    for page in sorted((DOCS / "tutorial").glob("*.md")):
        written = page.read_text(encoding="utf-8")
        blocks = re.findall(r"^```.*?^```$", written, re.MULTILINE | re.DOTALL)
        code = sum(len(block.split()) for block in blocks)
        commands = sum(block.count("\n$ ") for block in blocks)
        minutes[page.stem] = (len(written.split()) - code) / 200 + code / 60 + commands / 6
    assert sum(minutes.values()) <= 120, minutes
    assert max(minutes.values()) <= 20, minutes
    assert "two hours" in (DOCS / "tutorial/index.md").read_text(encoding="utf-8")
