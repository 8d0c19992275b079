"""`Upstream`: one external API."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from fastapi import Request, Response
from pydantic import SecretStr
from pydantic_core import to_json

from saaskit.errors import NotFound
from saaskit.upstream import binding, proxy
from saaskit.upstream.pool import Limits
from saaskit.upstream.transport import error_from_response, parse_response, transport_errors

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
        self.rules = proxy.Rules(allow, also_send, also_return)
        binding.declared[name] = self

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
        transport = binding.current().transport(self)
        async with transport.deadline() as deadline:
            response = await transport.send(method, target, encoded_query, headers, content, deadline)
            async with response as http:
                if error := error_from_response(self.name, http):
                    raise error
                try:
                    value = await parse_response(self.name, http, model, self.limits.response_bytes)
                except transport_errors() as failure:
                    raise transport.error(failure) from failure
            return value

    async def forward(self, request: Request, path: str) -> Response:
        """Forward the request and stream the response. Raises NotFound if `allow` does not list it."""
        target = "/" + "/".join(map(encode_segment, self.rules.segments(request.method, path)))
        return await proxy.forward(binding.current().transport(self), self.rules, request, target)


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
