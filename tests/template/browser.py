"""A generated project under `dev`, for tests in a real browser.

They require Chromium or Chrome. CHROMIUM names one that is not on the PATH.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
needs_chromium = pytest.mark.skipif(
    not CHROMIUM and not os.environ.get("NO_SKIPS"), reason="no Chromium on this machine; set CHROMIUM to its path"
)


class Site:
    """A running `dev` and its output."""

    def __init__(self, project: Path, log: Path) -> None:
        self.log = log
        hidden = ("VIRTUAL_ENV", "PYTEST_ADDOPTS", "ENVIRONMENT", "DATABASE_URL", "REDIS_URL")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                ["uv", "run", "--quiet", "dev"],
                cwd=project,
                env=environment | {"PORT": "0"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.url = self.printed(r"api +(http://localhost:\d+)/docs", 120)
        self.printed(r"identity \| (FOR DEVELOPMENT ONLY)", 60)

    def printed(self, pattern: str, seconds: float = 10) -> str:
        """Return the first group of the pattern, as soon as the output matches."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.log.read_text(errors="replace"))):
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text(errors="replace")
            time.sleep(0.05)
        return found[1]

    def statuses(self, request: str) -> list[str]:
        """Return the statuses of this method and path in the log so far."""
        method, path = request.split()
        line = rf"method={method} path={path} status=(\d+)"
        return re.findall(line, self.log.read_text(errors="replace"))

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)
        assert self.process.wait(30) == 0
