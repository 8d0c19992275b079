"""The documentation site: it builds strictly, loads no other host, and works in a real browser."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.template.browser import needs_chromium
from tools.bake import ROOT


@pytest.fixture(scope="module")
def site(template: Path) -> Path:
    """Build the site. `--strict` fails for broken links, anchors and snippets."""
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    done = subprocess.run(command, cwd=template, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return template / "site"


def test_the_site_loads_nothing_from_other_hosts(site: Path):
    pages = [page.read_text(encoding="utf-8") for page in site.rglob("*.html")]
    assert len(pages) > len([*(ROOT / "docs").rglob("*.md")])
    loads = (
        r"<(?:script|img|iframe|source)[^>]+src=\"?(https?:[^\" >]+)|<link[^>]+rel=\"?stylesheet[^>]+(https?:[^\" >]+)"
    )
    assert not [found for page in pages for found in re.findall(loads, page)]


@pytest.fixture(scope="module")
def url(site: Path) -> Iterator[str]:
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def tab(url: str, browser: Browser) -> Iterator[Page]:
    """A tab. Requests to other hosts fail the test."""
    page = browser.new_page(color_scheme="light")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(url)
    yield page
    page.close()
    assert not [request_url for request_url in requests if not request_url.startswith((url, "data:", "blob:"))]


@needs_chromium
def test_search_finds_the_page(tab: Page, url: str):
    tab.goto(url)
    tab.locator(".md-search__button").click()
    tab.keyboard.type("idempotency")
    tab.locator("[role=option][href*='/how-to/run-heavy-work/']").first.click()
    expect(tab.locator("h1")).to_contain_text("Run heavy work")


@needs_chromium
def test_the_color_scheme_can_be_switched(tab: Page, url: str):
    tab.goto(url)
    body = tab.locator("body")
    expect(body).to_have_attribute("data-md-color-scheme", "default")
    light = body.evaluate("body => getComputedStyle(body).backgroundColor")
    tab.locator("label[title=Dark]").click()
    expect(body).to_have_attribute("data-md-color-scheme", "slate")
    assert body.evaluate("body => getComputedStyle(body).backgroundColor") != light


@needs_chromium
def test_no_page_is_wider_than_a_phone(tab: Page, url: str, site: Path):
    tab.set_viewport_size({"width": 360, "height": 740})
    wide = {}
    for page in sorted(site.rglob("*.html")):
        tab.goto(url + page.relative_to(site).as_posix(), wait_until="domcontentloaded")
        if (width := tab.evaluate("document.documentElement.scrollWidth")) > 360:
            wide[page.relative_to(site).as_posix()] = width
    assert not wide
