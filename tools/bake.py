"""Generate projects from this checkout, for `make demo` and the tests."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = ROOT / "{{cookiecutter.project_slug}}"


def copy_template(to: Path) -> Path:
    """Copy the template without ignored files, such as environments, caches and databases.

    Reads the .gitignore files instead of calling git, which `make demo` does not require.
    """
    names = [".git"]
    for folder in (ROOT, PROJECT):
        lines = (folder / ".gitignore").read_text(encoding="utf-8").splitlines()
        names += [line.rstrip("/") for line in lines if line and not line.startswith("#")]
    return shutil.copytree(ROOT, to, ignore=shutil.ignore_patterns(*names))


def bake(
    template: Path, output: Path, *options: str, stdin: str | None = None, **answers: str
) -> subprocess.CompletedProcess[str]:
    """Run cookiecutter as a user would, without writing to the home folder.

    `stdin` answers the prompts line by line; without it, `answers` and the defaults are used.
    """
    output.mkdir(parents=True, exist_ok=True)
    config = template.with_suffix(".yaml")
    config.write_text(f"replay_dir: '{template}.replay'\ncookiecutters_dir: '{template}.cloned'\n", encoding="utf-8")
    command = [sys.executable, "-m", "cookiecutter", str(template), "--config-file", str(config), "-o", str(output)]
    command += [*options, *([] if stdin is not None else ["--no-input"])]
    command += [f"{key}={value}" for key, value in answers.items()]
    return subprocess.run(command, input=stdin or "", capture_output=True, text=True, encoding="utf-8", check=False)
