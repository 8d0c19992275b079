"""Real providers on Node: one that is certified, and one that attacks its clients."""

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
from devstack import free_port

FOLDER = Path(__file__).parent / "providers"


def install(cache: Path) -> Path:
    """Install both into `cache`, once. Skips the test without Node or a package registry; in CI, fails it."""
    missing = pytest.fail if os.environ.get("CI") else pytest.skip
    if not shutil.which("npm"):
        missing("Node is not installed: tests against real providers do not run")
    with _locked(cache):
        for file in FOLDER.iterdir():
            shutil.copy(file, cache)
        if not (cache / "node_modules" / ".package-lock.json").exists():
            command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]
            result = subprocess.run(command, cwd=cache, capture_output=True, text=True, timeout=300, check=False)
            if result.returncode:
                missing(f"npm could not install the providers: {result.stderr[-300:]}")
    return cache


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """Let one worker of pytest-xdist install, while the others wait. SQLite's lock works on every system."""
    with closing(sqlite3.connect(cache / "lock", timeout=400, isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def running(folder: Path, script: str, *arguments: str) -> Iterator[str]:
    """Run a provider, and return its issuer."""
    port = free_port()
    command = ["node", "--no-warnings", script, str(port), *arguments]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
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


async def follow(url: str, callback: str) -> str:
    """Return the callback URL to which the malicious provider redirects at once."""
    async with httpx2.AsyncClient(follow_redirects=False) as browser:
        location = (await browser.get(url)).headers["location"]
    assert location.startswith(callback)
    return location


async def consent(url: str, login: str, callback: str) -> str:
    """Sign in at the certified provider like a user, and return the callback URL to which it redirects."""
    async with httpx2.AsyncClient(follow_redirects=False, timeout=20) as browser:
        response = await browser.get(url)
        for _ in range(12):
            if response.is_redirect:
                target = urljoin(str(response.url), response.headers["location"])
                if target.startswith(callback):
                    return target
                response = await browser.get(target)
                continue
            action = re.search(r'<form[^>]*action="([^"]+)"', response.text)
            assert action, response.text[:500]
            prompt = re.search(r'name="prompt" value="(\w+)"', response.text)
            form = {"prompt": prompt[1] if prompt else "login", "login": login, "password": "x"}
            response = await browser.post(urljoin(str(response.url), unescape(action[1])), data=form)
        raise AssertionError("the provider does not redirect to the callback")
