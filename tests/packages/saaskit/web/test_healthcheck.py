"""`python -m saaskit.healthcheck`, which the Dockerfile's HEALTHCHECK runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from packages.saaskit.web.conftest import Server
from packages.saaskit.web.support import HOST


def healthcheck(path: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "saaskit.healthcheck", path],
        env={"PATH": os.environ["PATH"]} | environment,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )


@pytest.mark.parametrize("hosts", [HOST, f"{HOST},other.example.com", f" {HOST} , other.example.com"])
def test_a_healthy_process_passes(server: Server, hosts: str):
    process = healthcheck("/api/health", PORT=str(server.port), ALLOWED_HOSTS=hosts)
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.parametrize(
    ("path", "hosts", "status"),
    [("/nothing", HOST, 404), ("/api/health", "*", 400), ("/api/health", "*.example.org", 400), ("/bug", HOST, 500)],
)
def test_another_status_fails(server: Server, path: str, hosts: str, status: int):
    process = healthcheck(path, PORT=str(server.port), ALLOWED_HOSTS=hosts)
    assert (process.returncode, process.stderr) == (1, f"{path} responded with {status}\n")


def test_a_process_that_does_not_listen_fails():
    assert healthcheck("/api/health", PORT="1", ALLOWED_HOSTS=HOST).returncode == 1
