"""Git repositories for tests: of the template, and of a team that uses it."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tools.bake import ROOT, copy_template

PEOPLE = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "Ada"), ("EMAIL", "ada@example.com"))
}
NO_CONFIG = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


class Repository:
    """A work tree. Its commands run with a fixed author and without the git configuration of the machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, **PEOPLE, **NO_CONFIG}

    def run(self, *command: str, fails: bool = False) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert bool(done.returncode) == fails, f"{command}:\n{done.stdout}{done.stderr}"
        return (done.stdout + done.stderr).strip()

    def git(self, *arguments: str, fails: bool = False) -> str:
        return self.run("git", *arguments, fails=fails)

    def bash(self, script: str, fails: bool = False) -> str:
        return self.run("bash", "-eo", "pipefail", "-c", script, fails=fails)

    def python(self, *arguments: str) -> str:
        return self.run(sys.executable, *arguments)

    def commit(self, message: str) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def path(self, name: str) -> Path:
        return self.folder / name

    def edit(self, name: str, old: str, new: str) -> None:
        text = self.path(name).read_text(encoding="utf-8")
        assert old in text, name
        self.path(name).write_text(text.replace(old, new), encoding="utf-8")

    def add(self, name: str, text: str) -> None:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(text, encoding="utf-8")


def template_repository(folder: Path) -> Repository:
    """Return a repository with the template of this checkout in one commit."""
    repository = Repository(copy_template(folder))
    repository.git("init", "--quiet", "--initial-branch", "main")
    repository.commit("The first version")
    return repository


def redirect(url: str, folder: Path) -> dict[str, str]:
    """Return environment variables with which git uses a local folder for the URL."""
    return {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{folder}.insteadOf", "GIT_CONFIG_VALUE_0": url}


def console_blocks(page: str, heading: str) -> list[str]:
    """Return the console blocks of a page below a heading, each as a script."""
    text = (ROOT / page).read_text(encoding="utf-8")
    below = re.split(rf"^#+ {re.escape(heading)}\n", text, flags=re.MULTILINE)[1]
    section = re.split(r"^#+ ", below, flags=re.MULTILINE)[0]
    blocks = re.findall(r"^```console\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [re.sub(r"^\$ ", "", block, flags=re.MULTILINE) for block in blocks]
