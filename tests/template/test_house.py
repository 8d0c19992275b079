"""Rules of this repository."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tools.bake import PROJECT, ROOT
from tools.changelog import notes

LAYERS = [ROOT, PROJECT]
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")


RIGHTS = {
    ("codeql", "scan"): {"actions": "read", "contents": "read", "security-events": "write"},
    ("date", "move"): {"contents": "write", "pull-requests": "write"},
    ("dependencies", "update"): {"contents": "write", "pull-requests": "write"},
    ("docs", "publish"): {"pages": "write", "id-token": "write"},
    ("release", "publish"): {"contents": "write"},
}
"""Permissions of the jobs that do more than read the repository."""
WORKFLOWS = [path for layer in LAYERS for path in sorted((layer / ".github/workflows").iterdir())]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_workflows_pin_actions_and_have_least_permissions(path: Path):
    text = path.read_text(encoding="utf-8")
    assert all(PINNED.search(line) for line in text.splitlines() if "uses: " in line)
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert job["permissions"] == RIGHTS.get((path.stem, name), {"contents": "read"}), name
        assert job["timeout-minutes"], name


@pytest.mark.posix
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_scripts_of_workflows_pass_shellcheck(path: Path, tmp_path: Path):
    """They run with `shell: bash`: other shells hide failures of commands in pipes, and on Windows."""
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    scripts = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    assert not scripts or workflow["defaults"] == {"run": {"shell": "bash"}}
    files = [tmp_path / f"{number}.sh" for number in range(len(scripts))]
    for file, script in zip(files, scripts, strict=True):
        assert "${{" not in script, "pass it in `env`, where it cannot inject a command"
        file.write_text(f"#!/bin/bash\nset -eo pipefail\n{script}\n")
    if files:
        done = subprocess.run(["shellcheck", *files], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_an_action_has_one_pin_everywhere():
    pins = {pin for path in WORKFLOWS for pin in re.findall(r"uses: (\S+@.*)", path.read_text(encoding="utf-8"))}
    actions = [pin.partition("@")[0] for pin in pins]
    assert len(actions) == len(set(actions)), sorted(pins)


@pytest.mark.skipif(sys.platform != "linux", reason="runs on Actions' Linux only: GNU sed and date")
@pytest.mark.parametrize("name", [".github/workflows/date.yml", f"{PROJECT.name}/.github/workflows/dependencies.yml"])
def test_a_workflow_moves_the_date(template: Path, tmp_path: Path, name: str):
    """The step runs in a copy, without its network commands."""
    repository = shutil.copytree(template, tmp_path / "repository")
    folder = repository / name.partition(".github")[0]
    job = next(iter(yaml.safe_load((repository / name).read_text(encoding="utf-8"))["jobs"].values()))
    step = next(step["run"] for step in job["steps"] if "exclude-newer" in step.get("run", ""))
    script = re.sub(r"^uv lock.*", "", step, flags=re.MULTILINE)
    environment = {"PATH": os.environ["PATH"], "GITHUB_ENV": str(tmp_path / "env")}
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, check=True)
    day = (tmp_path / "env").read_text().strip().removeprefix("DAY=")
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", day)
    for pyproject in [folder / "pyproject.toml", repository / PROJECT.name / "pyproject.toml"]:
        assert f'\nexclude-newer = "{day}"\n' in pyproject.read_text(encoding="utf-8")


def test_a_release_needs_its_changelog():
    changelog = "# Changelog\n\n## Unreleased\n\n## 2026-11-23\n\nNew:\n\n- A thing.\n\n## 2026-10-01\n\n- Old.\n"
    assert notes(changelog, "2026-11-23") == "New:\n\n- A thing."
    for version in ("2026-11-24", "Unreleased", "2026"):
        with pytest.raises(SystemExit, match=version):
            notes(changelog, version)


def test_both_layers_test_the_same_set_of_packages():
    dates = [re.findall(r'exclude-newer = "(.*)"', (layer / "pyproject.toml").read_text()) for layer in LAYERS]
    assert dates[0] == dates[1]
    assert len(dates[0]) == 1


@pytest.mark.parametrize("layer", LAYERS, ids=["template", "project"])
def test_agents_read_one_file(layer: Path):
    assert (layer / "CLAUDE.md").read_text() == "@AGENTS.md\n"
    assert (layer / "AGENTS.md").is_file()


def test_no_lock_and_no_package_host_is_committed(template: Path):
    """The tested versions are fixed by a date; users choose where packages come from."""
    hosts = re.compile(rb"pyp[i]\.org|pythonhoste[d]\.org|npmj[s]\.org")  # In brackets, not to find this line.
    for path in template.rglob("*"):
        assert path.name not in {"uv.lock", "poetry.lock", "package-lock.json"}
        if path.is_file():
            assert not hosts.search(path.read_bytes()), path


def test_ignored_names_are_plain():
    """tools/bake.py uses them as fnmatch patterns for single names, with the same meaning as in git."""
    for layer in LAYERS:
        for line in (layer / ".gitignore").read_text().splitlines():
            assert line.startswith("#") or re.fullmatch(r"[\w.*-]+/?", line), line


def test_cookiecutter_renders_three_files_only():
    copied = json.loads((ROOT / "cookiecutter.json").read_text())["_copy_without_render"]
    assert copied == ["[!LRp]*", "packages"]
    names = {path.name for path in PROJECT.iterdir() if path.name[0] in "LRp"}
    assert names - {"packages"} == {"LICENSE", "README.md", "pyproject.toml"}


@pytest.mark.posix
def test_make_installs_uv_if_it_is_missing(template: Path, tmp_path: Path):
    """`make -n` prints the commands without running them."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("sh", "awk", "make"):
        (tools / tool).symlink_to(subprocess.check_output(["sh", "-c", f"command -v {tool}"], text=True).strip())
    for folder in (template, template / PROJECT.name):
        environment = {"PATH": str(tools), "HOME": os.environ["HOME"]}
        planned = subprocess.check_output([tools / "make", "-n", "test"], cwd=folder, env=environment, text=True)
        assert "pip install" in planned
        assert ".uv/bin/uv run" in planned
