"""Generate the default project into .demo/acme and install it. `make demo` then starts `dev` there."""

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
    """Print the text, and then the time that the block took."""
    print(f"{text} ... ", end="", flush=True)
    started = time.monotonic()
    yield
    print(f"{time.monotonic() - started:.1f} s", flush=True)


def generate() -> None:
    """Generate in another folder, then move the project: if interrupted, it is complete or missing."""
    DEMO.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=DEMO, prefix=".new-") as new:
        done = bake(copy_template(Path(new, "template")), Path(new))
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        Path(new, "acme").rename(PROJECT)


def install() -> None:
    """Install the versions in uv.lock, or without one the newest at the date in pyproject.toml."""
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    if code := subprocess.run([os.environ["UV"], "sync", "--quiet"], cwd=PROJECT, env=environment).returncode:
        sys.exit(code)


def main() -> None:
    if PROJECT.exists():
        print("Using .demo/acme as you left it (to start over: rm -r .demo)", flush=True)
    else:
        with step("Generating the default project into .demo/acme"):
            generate()
    with step("Installing its dependencies (the first time, about 200 MB are downloaded)"):
        install()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
