"""`connect`: the settings, connections and breakers of all upstreams, while an application or worker runs."""

import difflib
import re
import threading
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal
from weakref import WeakValueDictionary

from saaskit.settings import Settings, SettingsError, UpstreamSettings
from saaskit.upstream.transport import UpstreamTransport

if TYPE_CHECKING:
    from saaskit.upstream.client import Upstream

# Weak: a reloaded module declares its upstreams again, and tests declare many.
declared: "WeakValueDictionary[str, Upstream]" = WeakValueDictionary()
"""The upstreams of this process, by name."""


class Binding:
    """One transport for each upstream that is called. Nothing is connected before the first call."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings.upstreams
        self.user_agent = user_agent(settings.product_name)
        self._transports: dict[Upstream, UpstreamTransport] = {}

    def transport(self, upstream: "Upstream") -> UpstreamTransport:
        """Return the upstream's transport. The settings replace its declared base URL and secret."""
        if upstream not in self._transports:
            settings = self.settings.get(upstream.name, UpstreamSettings())
            headers = {"user-agent": self.user_agent, **upstream.headers}
            if secret := (settings.secret or upstream.secret).get_secret_value():
                if upstream.secret_in:
                    headers[upstream.secret_in] = secret
                else:
                    headers["authorization"] = f"Bearer {secret}"
            self._transports[upstream] = UpstreamTransport(
                upstream.name, settings.base_url or upstream.base_url, headers, upstream.limits
            )
        return self._transports[upstream]

    async def close(self) -> None:
        """Close all connections."""
        for transport in self._transports.values():
            await transport.close()


class _Local(threading.local):
    """An event loop runs in one thread: the worker pool `threads` has several."""

    def __init__(self) -> None:
        self.bindings: list[Binding] = []


_local = _Local()


@asynccontextmanager
async def connect(settings: Settings, *, check_names: bool = True) -> AsyncIterator[Binding]:
    """Bind the upstreams to the settings within this block, for the event loop of this thread.

    Raises SettingsError if `settings.upstreams` has a name that no upstream has. A process that does not
    import all modules with upstreams passes `check_names=False`.
    """
    if check_names:
        _check_names(settings)
    binding = Binding(settings)
    _local.bindings.append(binding)
    try:
        yield binding
    finally:
        _local.bindings.remove(binding)
        await binding.close()


def current() -> Binding:
    """Return the innermost binding of this thread. Raises RuntimeError outside of `connect`."""
    if not _local.bindings:
        raise RuntimeError(
            "Upstreams are not connected. Call them within `async with upstream.connect(settings)`."
        )
    return _local.bindings[-1]


def readiness() -> dict[str, Literal["ok", "unavailable"]]:
    """Return the state of each upstream by name: "unavailable" while its breaker refuses calls.

    Sends no request.
    """
    binding = current()
    return {
        name: "unavailable" if binding.transport(upstream).breaker.seconds_to_wait() else "ok"
        for name, upstream in sorted(declared.items())
    }


def user_agent(product_name: str) -> str:
    """Return the name as an HTTP token (RFC 9110 §5.6.2): `Acme Widgets` becomes `Acme-Widgets`."""
    ascii_name = unicodedata.normalize("NFKD", product_name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._~+-]+", "-", ascii_name).strip("-") or "App"


def _check_names(settings: Settings) -> None:
    problems = []
    for name in settings.upstreams:
        if name not in declared:
            guess = difflib.get_close_matches(name, declared, n=1)
            hint = f"did you mean {guess[0]}?" if guess else f"the names are {', '.join(sorted(declared))}."
            problems.append(f"UPSTREAMS__{name.upper()}: no upstream has this name; {hint}")
    if problems:
        raise SettingsError("\n".join(problems))
