"""Rules of this repository that a machine can hold."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tools.bake import PROJECT, ROOT

LAYERS = [ROOT, PROJECT]
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


@pytest.mark.parametrize("layer", LAYERS, ids=["template", "project"])
def test_workflows_pin_actions_and_ask_for_the_least(layer: Path):
    for path in (layer / ".github" / "workflows").iterdir():
        text = path.read_text(encoding="utf-8")
        assert all(PINNED.search(line) for line in text.splitlines() if "uses: " in line), path
        workflow = yaml.safe_load(text)
        assert workflow["permissions"] == {}, path
        for name, job in workflow["jobs"].items():
            assert job["permissions"] == {"contents": "read"}, name
            assert job["timeout-minutes"], name


def test_both_layers_pin_the_same_actions():
    pins = [set(re.findall(r"uses: .*", (layer / ".github/workflows/ci.yml").read_text())) for layer in LAYERS]
    assert pins[0] == pins[1]


def test_both_layers_test_the_same_set_of_packages():
    dates = [re.findall(r'exclude-newer = "(.*)"', (layer / "pyproject.toml").read_text()) for layer in LAYERS]
    assert dates[0] == dates[1]
    assert len(dates[0]) == 1


@pytest.mark.parametrize("layer", LAYERS, ids=["template", "project"])
def test_agents_read_one_file(layer: Path):
    assert (layer / "CLAUDE.md").read_text() == "@AGENTS.md\n"
    assert (layer / "AGENTS.md").is_file()


def test_no_lock_and_no_package_host_is_committed(template: Path):
    """The tested set is fixed by date; where packages come from is the reader's choice."""
    hosts = re.compile(rb"pyp[i]\.org|pythonhoste[d]\.org|npmj[s]\.org")  # In brackets, not to find this line.
    for path in template.rglob("*"):
        assert path.name not in {"uv.lock", "poetry.lock", "package-lock.json"}
        if path.is_file():
            assert not hosts.search(path.read_bytes()), path


def test_ignored_names_are_plain():
    """tools/bake.py reads them as fnmatch patterns of single names, which git reads the same way."""
    for layer in LAYERS:
        for line in (layer / ".gitignore").read_text().splitlines():
            assert line.startswith("#") or re.fullmatch(r"[\w.*-]+/?", line), line


def test_cookiecutter_copies_everything_that_is_not_personal():
    assert json.loads((ROOT / "cookiecutter.json").read_text())["_copy_without_render"] == ["[!LRp]*"]
    assert {path.name for path in PROJECT.iterdir() if path.name[0] in "LRp"} == {
        "LICENSE",
        "README.md",
        "pyproject.toml",
    }


@pytest.mark.posix
def test_make_brings_uv_where_there_is_none(template: Path, tmp_path: Path):
    """Only the choice of uv is tried here: what it would run is printed, not run."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("sh", "awk", "make"):
        (tools / tool).symlink_to(subprocess.check_output(["sh", "-c", f"command -v {tool}"], text=True).strip())
    for folder in (template, template / PROJECT.name):
        environment = {"PATH": str(tools), "HOME": os.environ["HOME"]}
        planned = subprocess.check_output([tools / "make", "-n", "test"], cwd=folder, env=environment, text=True)
        assert "pip install" in planned
        assert ".uv/bin/uv run" in planned
