"""The first half of `make demo`: generate the default project into .demo/acme and install it. `dev` is the second."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.bake import ROOT, bake, copy_template

DEMO = ROOT / ".demo"
PROJECT = DEMO / "acme"


@contextmanager
def step(text: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    print(f"{time.monotonic() - started:6.1f} s  {text}", flush=True)


def generate() -> None:
    """Generate beside the place, then move: interrupted at any moment, the project is either there or not."""
    DEMO.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=DEMO, prefix=".new-") as new:
        done = bake(copy_template(Path(new, "template")), Path(new))
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        Path(new, "acme").rename(PROJECT)


def install() -> None:
    """Install what the lock or the date in pyproject.toml says; uv shows its own progress."""
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    if code := subprocess.run([os.environ["UV"], "sync"], cwd=PROJECT, env=environment, check=False).returncode:
        sys.exit(code)


if __name__ == "__main__":
    if PROJECT.exists():
        print("   using  .demo/acme as you left it (to start afresh: rm -r .demo)", flush=True)
    else:
        with step("generated .demo/acme from this template"):
            generate()
    with step("installed what it needs"):
        install()
