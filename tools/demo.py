"""The first half of `make demo`: generate the default project into .demo/acme and install it. `dev` is the second."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.bake import ROOT, bake, copy_template

DEMO = ROOT / ".demo"
PROJECT = DEMO / "acme"


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what begins, then how long it took."""
    print(f"{text} ... ", end="", flush=True)
    started = time.monotonic()
    yield
    print(f"{time.monotonic() - started:.1f} s", flush=True)


def generate() -> None:
    """Generate beside the place, then move: interrupted at any moment, the project is either there or not."""
    DEMO.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=DEMO, prefix=".new-") as new:
        done = bake(copy_template(Path(new, "template")), Path(new))
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        Path(new, "acme").rename(PROJECT)


def install() -> None:
    """Install what the lock, or without one the date in pyproject.toml, says."""
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    if code := subprocess.run([os.environ["UV"], "sync", "--quiet"], cwd=PROJECT, env=environment).returncode:
        sys.exit(code)


def main() -> None:
    if PROJECT.exists():
        print("Using .demo/acme as you left it (to start afresh: rm -r .demo)", flush=True)
    else:
        with step("Generating the default project into .demo/acme"):
            generate()
    with step("Installing what it needs (the first time, that is a download of about 200 MB)"):
        install()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
