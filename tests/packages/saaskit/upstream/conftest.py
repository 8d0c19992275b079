"""A scripted upstream on a real socket, and a binding to default settings."""

from collections.abc import AsyncIterator

import pytest
from saaskit import upstream
from saaskit.settings import Settings
from saaskit.testing import UpstreamServer, upstream_server
from saaskit.upstream.client import Binding, declared


@pytest.fixture(autouse=True)
def no_upstreams_of_other_tests() -> None:
    declared.clear()


@pytest.fixture
async def server() -> AsyncIterator[UpstreamServer]:
    async with upstream_server() as server:
        yield server


@pytest.fixture
async def binding() -> AsyncIterator[Binding]:
    settings = Settings(_env_file=None, environment="test", product_name="Acme Widgets")  # type: ignore[call-arg]
    async with upstream.connect(settings, check_names=False) as binding:
        yield binding
