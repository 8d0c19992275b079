"""A generated project under `dev`, in a real browser: signing in, and attacks from a page on another site."""

import shutil
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.template.browser import Site, needs_chromium

pytestmark = [pytest.mark.posix, needs_chromium]
EVIL = """<!doctype html><title>evil</title><iframe id="framed" src="{site}/docs"></iframe>
<iframe id="sandboxed" sandbox="allow-scripts allow-forms" srcdoc="
<form method=post action='{site}/api/session'><input name=email value=eve@example.com></form>
<script>document.forms[0].submit()</script>"></iframe>"""
ATTACKS = """async (site) => {
  const json = new Blob([JSON.stringify({name: "Eve"})]);
  const tried = {};
  const attempt = async (name, act) => {
    try { tried[name] = String(await act()) } catch (error) { tried[name] = error.name }
  };
  const simple = {method: "POST", mode: "no-cors", credentials: "include"};
  const headers = {"Content-Type": "application/json"};
  const write = (method) => ({method, credentials: "include", body: json, headers});
  await attempt("read", async () => (await fetch(site + "/api/me", {credentials: "include"})).text());
  await attempt("patch", async () => (await fetch(site + "/api/me", write("PATCH"))).status);
  await attempt("delete", async () => (await fetch(site + "/api/session", write("DELETE"))).status);
  await attempt("blob", async () => (await fetch(site + "/api/session", {...simple, body: json})).type);
  await attempt("form", async () => (await fetch(site + "/api/session",
    {...simple, body: new URLSearchParams({email: "eve@example.com", password: "x"})})).type);
  await attempt("beacon", async () => navigator.sendBeacon(site + "/api/session", json));
  return tried;
}"""


@pytest.fixture(scope="module")
def site(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("browser")
    site = Site(shutil.copytree(whole, folder / "acme"), folder / "log")
    yield site
    site.stop()


def sign_in(page: Page, site: Site) -> None:
    """Sign in at the local provider that `dev` starts."""
    page.goto(f"{site.url}/api/auth/login/local?next=/docs")
    page.get_by_role("button", name="grace@example.com").click()
    page.wait_for_url(f"{site.url}/docs")
    page.get_by_text("Signed in as grace@example.com").wait_for()


@pytest.fixture
def evil(site: Site, tmp_path: Path) -> Iterator[str]:
    """The URL of a page on another site: 127.0.0.1 is not localhost."""
    (tmp_path / "index.html").write_text(EVIL.format(site=site.url))
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.requirement("SES-3")
def test_the_session_cookie_is_kept_and_hidden_from_scripts(page: Page, site: Site):
    sign_in(page, site)
    (cookie,) = [each for each in page.context.cookies() if each.get("name") == "__Host-session"]
    assert (cookie.get("httpOnly"), cookie.get("secure"), cookie.get("sameSite")) == (True, True, "Lax")
    assert page.evaluate("document.cookie") == ""
    assert page.evaluate("fetch('/api/me').then(response => response.status)") == 200
    assert page.evaluate("fetch('/api/session', {method: 'DELETE'}).then(response => response.status)") == 204
    assert page.evaluate("fetch('/api/me').then(response => response.status)") == 401


def test_the_docs_page_loads_nothing_from_other_hosts_and_signs_users_in(page: Page, site: Site):
    """Sign up, follow the e-mailed link, reset the password, then sign in with the form on /docs."""
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: trouble.append(request.url) if not request.url.startswith(site.url) else None)
    page.goto(f"{site.url}/docs")
    page.get_by_text("/api/products").first.wait_for()
    # The page requests the current session. Chromium reports its 401 response as an error.
    assert [each for each in trouble if "401" not in each] == []
    body = '{"email": "eve@example.com", "name": "Eve", "password": "four random words here"}'
    join = f"fetch('/api/users', {{method: 'POST', body: '{body}', headers: {{'Content-Type': 'application/json'}}}})"
    assert page.evaluate(f"{join}.then(response => response.status)") == 202
    token = site.printed(r"token=(\S+)", 30)
    page.goto(f"{site.url}/api/users/confirmation?token={token}")
    page.get_by_label("The password that you chose").fill("four random words here")
    page.get_by_role("button").click()
    page.get_by_text("You can sign in as eve@example.com now").wait_for()
    ask = "fetch('/api/password-reset', {method: 'POST', body: '{\"email\": \"eve@example.com\"}', "
    ask += "headers: {'Content-Type': 'application/json'}})"
    page.goto(f"{site.url}/docs")
    assert page.evaluate(f"{ask}.then(response => response.status)") == 202
    reset = site.printed(r"(/api/password-reset/confirmation\?token=\S+)", 30)
    page.goto(site.url + reset)
    for password, text in (
        ("aaaaaaaaaaaaaaaa", "too easy to guess"),
        ("four random words here", "Your password is changed"),
    ):
        page.get_by_label("New password").fill(password)
        page.get_by_role("button").click()
        page.get_by_text(text).wait_for()
        if text == "too easy to guess":
            page.get_by_role("link", name="Back").click()
    page.goto(f"{site.url}/docs")
    page.get_by_placeholder("e-mail").fill("eve@example.com")
    page.get_by_placeholder("password").fill("four random words here")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_text("Signed in as eve@example.com").wait_for()


@pytest.mark.requirement("CSRF-1", "CSRF-2", "CSRF-4", "CSRF-8", "CSRF-11")
def test_a_page_on_another_site_can_neither_read_nor_change_anything(page: Page, site: Site, evil: str):
    """The browser is signed in. The statuses of its requests are in the log of `dev`."""
    sign_in(page, site)
    page.goto(evil)
    tried = page.evaluate(ATTACKS, site.url)
    assert {name: tried[name] for name in ("read", "patch", "delete")} == dict.fromkeys(
        ("read", "patch", "delete"), "TypeError"
    ), "unreadable, and refused at the preflight"
    deadline = time.monotonic() + 10
    while len(site.statuses("POST /api/session")) < 4:  # blob, form, beacon, sandboxed form
        assert time.monotonic() < deadline, site.log.read_text(errors="replace")
        page.wait_for_timeout(50)
    assert set(site.statuses("POST /api/session")) - {"204"} == {"403"}
    assert set(site.statuses("PATCH /api/me")) <= {"403"}
    assert "/docs" not in (page.frames[1].url or ""), "not framable"
    page.goto(f"{site.url}/docs")
    page.get_by_text("Signed in as grace@example.com").wait_for()
    assert page.evaluate("fetch('/api/me').then(response => response.json()).then(me => me.name)") == "Grace Hopper"
