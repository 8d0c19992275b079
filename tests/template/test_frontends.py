"""docs/how-to/connect-a-frontend.md in a real browser: its configuration and its scripts, on pages of three frontends.

The frontends of Next.js and Vite require npm, which installs them as they were on a fixed date.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page

from tests.template.browser import Site, needs_chromium
from tests.template.replay import free_port

GUIDE = (Path(__file__).parents[2] / "docs/how-to/connect-a-frontend.md").read_text(encoding="utf-8")
NEWEST = "2026-11-20"
ADA = {"email": "ada-lindqvist@example.com", "password": "correct horse battery staple"}
NPM = shutil.which("npm")
pytestmark = [pytest.mark.posix, pytest.mark.slow, needs_chromium]

StartSite = Callable[..., Site]


def block(start: str) -> str:
    """Return the one code block of the guide that contains this text, without its indentation."""
    blocks = re.findall(r"^( *)```[^\n]*\n(.*?)^ *```$", GUIDE, re.MULTILINE | re.DOTALL)
    (found,) = [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in blocks if start in text]
    return found


@pytest.fixture
def start_site(whole: Path, tmp_path: Path) -> Iterator[StartSite]:
    """Start `dev` with this `.env`."""
    sites: list[Site] = []

    def start(**settings: str) -> Site:
        project = shutil.copytree(whole, tmp_path / "acme")
        (project / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        sites.append(Site(project, tmp_path / "log"))
        return sites[-1]

    yield start
    for site in sites:
        site.stop()


@contextmanager
def static_page(folder: Path) -> Iterator[str]:
    """Serve an empty page from this folder, and yield its origin."""
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>frontend</title>")
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


@pytest.mark.requirement("CORS-1")
def test_a_frontend_on_another_origin(page: Page, start_site: StartSite, tmp_path: Path) -> None:
    with static_page(tmp_path / "listed") as frontend, static_page(tmp_path / "other") as other:
        site = start_site(FRONTEND_ORIGINS=frontend)
        script = block("EventSource(").replace("http://localhost:8000", site.url)
        sign_in, separator, follow = script.partition("const me =")
        sign_in = sign_in.replace("const API", "globalThis.API")

        page.goto(frontend)
        status = "async ({email, password}) => {" + sign_in + "return response.status }"
        assert page.evaluate(status, ADA) == 204
        # A change, with headers of the response that only `Access-Control-Expose-Headers` shows.
        started = page.evaluate("""async () => {
            const response = await fetch(`${API}/api/exports`, {
                method: "POST", credentials: "include", body: JSON.stringify({resource: "orders"}),
                headers: {"Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID()},
            })
            return {status: response.status, location: response.headers.get("Location"), body: await response.json()}
        }""")
        assert started["status"] == 202 and started["location"].startswith("/api/exports/")
        finished = page.evaluate(
            "async (id) => {" + separator + follow + "const name = (await me.json()).name\n"
            "return await new Promise((resolve) => events.addEventListener('succeeded', () => resolve(name))) }",
            started["body"]["job_id"],
        )
        assert finished == "Ada Lindqvist"

        page.goto(other)
        blocked = "async ({email, password}) => {" + sign_in + "}"
        with pytest.raises(Exception, match="Failed to fetch"):
            page.evaluate(blocked, ADA)
        assert (
            page.evaluate(f"fetch('{site.url}/api/me', {{credentials: 'include'}}).catch(e => e.name)") == "TypeError"
        )


NEXT = {
    "package.json": json.dumps({"private": True, "scripts": {"dev": "next dev", "build": "next build"}}),
    "app/layout.js": "export default function Layout({ children }) { return <html><body>{children}</body></html> }",
    "app/page.js": "export default function Home() { return <h1>frontend</h1> }",
}
VITE = {
    "package.json": json.dumps({"private": True, "type": "module"}),
    "index.html": "<!doctype html><title>frontend</title><h1>frontend</h1>",
}


@contextmanager
def frontend_server(folder: Path, files: dict[str, str], packages: list[str], *command: str) -> Iterator[None]:
    """Install the packages, and run this command until its page responds and the test ends."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    npm = [str(NPM), "install", "--no-audit", "--no-fund", f"--before={NEWEST}", *packages]
    done = subprocess.run(npm, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(folder / "node_modules/.bin" / command[0]), *command[1:]],
            cwd=folder,
            env=os.environ | {"NEXT_TELEMETRY_DISABLED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while not responds(f"http://localhost:{command[-1]}/"):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def responds(url: str) -> bool:
    try:
        with urlopen(url, timeout=60) as response:  # noqa: S310 (a local server)
            return response.status == 200
    except (URLError, ConnectionError):
        return False


def use_the_api(page: Page, origin: str) -> None:
    """Sign in with the guide's script, change something, and follow a job."""
    page.goto(origin)
    page.get_by_text("frontend").wait_for()
    sign_in = "async ({email, password}) => {" + block('fetch("/api/session"') + "return response.status }"
    assert page.evaluate(sign_in, ADA) == 204
    assert page.evaluate("fetch('/api/me').then(r => r.json()).then(me => me.name)") == "Ada Lindqvist"
    location = page.evaluate("""async () => {
        const response = await fetch("/api/exports", {method: "POST", body: JSON.stringify({resource: "orders"}),
            headers: {"Content-Type": "application/json"}})
        const job = (await response.json()).job_id
        const events = new EventSource(`/api/jobs/${job}/events`)
        await new Promise((resolve) => events.addEventListener("succeeded", resolve))
        return response.headers.get("Location")
    }""")
    assert location.startswith("/api/exports/")
    assert page.evaluate("fetch('/api/products/').then(r => r.url)") == f"{origin}/api/products"
    assert page.evaluate("fetch('/api/session', {method: 'DELETE'}).then(r => r.status)") == 204


@pytest.mark.skipif(not NPM, reason="no npm on this machine")
@pytest.mark.parametrize("framework", ["next", "vite"])
def test_a_frontend_on_the_same_origin(framework: str, page: Page, start_site: StartSite, tmp_path: Path) -> None:
    port = free_port()
    site = start_site(PUBLIC_URL=f"http://localhost:{port}")
    folder = tmp_path / "frontend"
    if framework == "next":
        config = block("rewrites()").replace("http://127.0.0.1:8000", site.url)
        packages = ["next@16.4.6", "react@19", "react-dom@19", "typescript@5", "@types/react@19", "@types/node@20"]
        server = frontend_server(folder, NEXT | {"next.config.ts": config}, packages, "next", "dev", "--port", port)
    else:
        config = block("defineConfig({").replace("http://127.0.0.1:8000", site.url)
        server = frontend_server(folder, VITE | {"vite.config.ts": config}, ["vite@8"], "vite", "--port", port)
    with server:
        use_the_api(page, f"http://localhost:{port}")
