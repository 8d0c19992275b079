"""`Upstream`, one external API, and `connect`, which binds all of them to the settings."""

import difflib
import re
import threading
import unicodedata
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import quote, urlencode
from weakref import WeakValueDictionary

from fastapi import Request, Response
from pydantic import SecretStr
from pydantic_core import to_json

from saaskit.errors import NotFound
from saaskit.settings import Settings, SettingsError, UpstreamSettings
from saaskit.upstream.rules import ForwardRules, Limits

if TYPE_CHECKING:
    from saaskit.upstream.transport import UpstreamTransport

T = TypeVar("T")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Upstream:
    """An external API that is called with typed responses (`get`, `request`) or through a proxy (`forward`).

    All errors are problems: 502 failed or invalid, 503 busy, 504 timed out, 404 as it is. `allow` lists the
    requests that may be forwarded (`"GET /repos/{owner}/{name}"`), `also_send` and `also_return` further
    headers that may cross. `send` has headers for every request. The secret is sent as a bearer token, or in
    the header that `secret_in` names.

    Calls are made within `connect`, whose settings replace `base_url` and `secret`.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str,
        secret: SecretStr | None = None,
        secret_in: str = "",
        send: Mapping[str, str] | None = None,
        allow: Iterable[str] = (),
        also_send: Iterable[str] = (),
        also_return: Iterable[str] = (),
        limits: Limits | None = None,
    ) -> None:
        self.name, self.base_url, self.limits = name, base_url, limits or Limits()
        self.secret, self.secret_in = secret or SecretStr(""), secret_in.lower()
        self.headers = {key.lower(): value for key, value in (send or {}).items()}
        self.rules = ForwardRules(allow, also_send, also_return)
        declared[name] = self

    async def get(
        self, path: str, *, model: type[T], params: Mapping[str, Any] | None = None, **segments: object
    ) -> T:
        """GET `path`, with its `{placeholders}` replaced by `segments`; return the JSON as `model`."""
        return await self.request("GET", path, model=model, params=params, **segments)

    async def request(
        self,
        method: str,
        path: str,
        *,
        model: type[T],
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        **segments: object,
    ) -> T:
        """Send a request with any method, and with `json` as its body. Otherwise like `get`."""
        query = {key: value for key, value in (params or {}).items() if value is not None}
        headers = {"accept": "application/json", "accept-encoding": "gzip"}
        content = b"" if json is None else to_json(json)
        if content:
            headers["content-type"] = "application/json"
        target, encoded_query = fill_path(path, segments), urlencode(query, doseq=True)
        transport = current().transport(self)
        return await transport.request(method, target, encoded_query, headers, content, model)

    async def forward(self, request: Request, path: str) -> Response:
        """Forward the request and stream the response. Raises NotFound if `allow` does not list it."""
        from saaskit.upstream import proxy

        target = "/" + "/".join(map(encode_segment, self.rules.segments(request.method, path)))
        return await proxy.forward(current().transport(self), self.rules, request, target)


def fill_path(template: str, segments: Mapping[str, object]) -> str:
    """Replace the placeholders of a path such as `/repos/{owner}/{name}`, each by one encoded segment."""
    if set(_PLACEHOLDER.findall(template)) != set(segments) or not template.startswith("/"):
        raise ValueError(f"{template}: must start with / and have the placeholders {sorted(segments)}")
    return _PLACEHOLDER.sub(lambda match: encode_segment(segments[match[1]]), template)


def encode_segment(value: object) -> str:
    """Encode the value as one path segment. Raises NotFound for an empty value, `.`, `..` and controls."""
    text = str(value)
    if text in ("", ".", "..") or not text.isprintable():
        raise NotFound
    return quote(text, safe="")


# Weak: a reloaded module declares its upstreams again, and tests declare many.
declared: "WeakValueDictionary[str, Upstream]" = WeakValueDictionary()
"""The upstreams of this process, by name."""


class Binding:
    """One transport for each upstream that was called."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings.upstreams
        self.user_agent = user_agent(settings.product_name)
        self.transports: dict[Upstream, UpstreamTransport] = {}

    def transport(self, upstream: Upstream) -> "UpstreamTransport":
        """Return the upstream's transport. The settings replace its declared base URL and secret."""
        from saaskit.upstream.transport import UpstreamTransport

        if upstream not in self.transports:
            settings = self.settings.get(upstream.name, UpstreamSettings())
            headers = {"user-agent": self.user_agent, **upstream.headers}
            if secret := (settings.secret or upstream.secret).get_secret_value():
                if upstream.secret_in:
                    headers[upstream.secret_in] = secret
                else:
                    headers["authorization"] = f"Bearer {secret}"
            self.transports[upstream] = UpstreamTransport(
                upstream.name, settings.base_url or upstream.base_url, headers, upstream.limits
            )
        return self.transports[upstream]

    async def close(self) -> None:
        """Close all connections."""
        for transport in self.transports.values():
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
    transports = current().transports.values()
    refused = {transport.name for transport in transports if transport.breaker.seconds_to_wait()}
    return {name: "unavailable" if name in refused else "ok" for name in sorted(declared)}


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
