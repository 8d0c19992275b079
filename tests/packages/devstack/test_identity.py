"""The identity provider for development."""

import os
import subprocess
import sys
import urllib.request

from devstack import free_port

from .conftest import eventually


def test_it_starts_without_warnings():
    url = f"http://127.0.0.1:{free_port()}"
    with subprocess.Popen(
        [sys.executable, "-m", "devstack.identity"],
        env=os.environ | {"LOCAL_PROVIDER": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as provider:

        def serves() -> bool:
            try:
                with urllib.request.urlopen(f"{url}/.well-known/openid-configuration", timeout=5) as page:  # noqa: S310
                    return page.status == 200
            except OSError:
                return False

        eventually(serves)
        provider.terminate()
        printed, warned = provider.communicate()
    assert "FOR DEVELOPMENT ONLY" in printed
    assert "Warning" not in warned
