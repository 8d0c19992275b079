"""Real providers for tests, on Node: one certified, one that lies."""

import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import pytest

FOLDER = Path(__file__).parent / "providers"


def install(cache: Path) -> Path:
    """Both, into `cache`, once; skips where there is no Node, or no way to get them."""
    # In CI a provider that is missing is a failure: nothing else says that these tests did not run.
    missing = pytest.fail if os.environ.get("CI") else pytest.skip
    if not shutil.which("npm"):
        missing("no Node on this machine: the tests against real providers do not run")
    with _alone(cache):
        for file in FOLDER.iterdir():
            shutil.copy(file, cache)
        if not (cache / "node_modules" / ".package-lock.json").exists():
            command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
            done = subprocess.run(
                command, cwd=cache, capture_output=True, text=True, timeout=300, check=False
            )
            if done.returncode:
                missing(f"npm could not install the providers: {done.stderr[-300:]}")
    return cache


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Workers of pytest-xdist share the folder: one of them installs. SQLite's lock is one everywhere."""
    with closing(sqlite3.connect(cache / "lock", timeout=400, isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def running(folder: Path, script: str, port: int, *arguments: str) -> Iterator[str]:
    """Start it; its issuer."""
    command = ["node", "--no-warnings", script, str(port), *arguments]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout
    try:
        for line in process.stdout:
            if line.strip() == "ready":
                break
        else:
            raise AssertionError(f"{script} did not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def consent(url: str, login: str) -> str:
    """Sign in at the certified provider as a person would; where it sends the browser in the end."""
    async with httpx2.AsyncClient(follow_redirects=False, timeout=20) as browser:
        answer = await browser.get(url)
        for _ in range(12):
            if answer.is_redirect:
                target = urljoin(str(answer.url), answer.headers["location"])
                if target.startswith("https://test/"):
                    return target
                answer = await browser.get(target)
                continue
            action = re.search(r'<form[^>]*action="([^"]+)"', answer.text)
            assert action, answer.text[:500]
            prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
            form = {"prompt": prompt[1] if prompt else "login", "login": login, "password": "x"}
            answer = await browser.post(urljoin(str(answer.url), unescape(action[1])), data=form)
        raise AssertionError("the provider asks for ever")
